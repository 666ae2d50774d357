"""Start a server as `python -m routex_site.server` does, with other bounds: KIND FD JSON."""

import json
import sys

from routex_site.server.__main__ import start
from routex_site.server.listen import adopt
from routex_site.server.options import ServerOptions

kind, descriptor, bounds = sys.argv[1:]
start(kind, "asgi_apps:application", adopt(int(descriptor)), ServerOptions(**json.loads(bounds)))
