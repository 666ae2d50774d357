# Two stages: the environment is built with uv from the lock, the image runs without it.
FROM python:3.13-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /app
COPY requirements.txt ./
RUN uv venv .venv && uv pip install --no-cache --python .venv/bin/python --require-hashes -r requirements.txt

FROM python:3.13-slim-bookworm
RUN useradd --uid 10001 --create-home routex && mkdir /data && chown routex /data
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY . .
USER routex
ENV ROUTEX_HOST=0.0.0.0 ROUTEX_PORT=8080 ROUTEX_DATA_DIR=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8080
HEALTHCHECK --start-period=30s CMD ["/app/.venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=3)"]
CMD ["./routex", "up"]
