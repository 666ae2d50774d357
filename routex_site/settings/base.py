"""Every Django setting, grouped as docs/configuration.md is."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from routex_site import ROOT, VERSION
from routex_site.settings.env import read_environment

ENV = read_environment()

# --- Core -----------------------------------------------------------------------------------------------------------

SECRET_KEY = ENV.secret_key or "unset: the supervisor makes one and hands it to every child"
#: Fernet keys, newest first: the first seals, all unseal.
ENCRYPTION_KEYS = ENV.encryption_keys
DEBUG = ENV.debug
PUBLIC_URL = ENV.public_url
DATA_DIR = ENV.data_dir
ALLOWED_HOSTS = list(
    dict.fromkeys(
        [
            urlsplit(PUBLIC_URL).hostname or "127.0.0.1",
            "127.0.0.1",
            "localhost",
            "[::1]",
            ".localhost",
            *ENV.allowed_hosts,
        ]
    )
)
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL.startswith("https://") else []
ROOT_URLCONF = "routex_site.urls"
ASGI_APPLICATION = "routex_site.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"

# --- Applications ---------------------------------------------------------------------------------------------------

#: Tables in the public schema. unfold stands before django_tenants, whose admin templates would win otherwise.
SHARED_APPS = [
    "unfold",
    "django_tenants",
    "tenants",
    "analytics",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "routex_site.apps.SiteConfig",
]
#: Tables in each tenant's schema.
TENANT_APPS = ["channels_app", "routing"]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]
TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]

# --- Storage --------------------------------------------------------------------------------------------------------

_database = urlsplit(ENV.database_url)
DATABASES = {
    "default": {
        "ENGINE": "django_tenants.postgresql_backend",
        "NAME": unquote(_database.path.lstrip("/")),
        "USER": unquote(_database.username or ""),
        "PASSWORD": unquote(_database.password or ""),
        "HOST": _database.hostname or "",
        "PORT": str(_database.port or 5432),
        # Per-request threads strand persistent connections under ASGI; a pool with CONN_MAX_AGE 0 does not (ADR 0002).
        "CONN_MAX_AGE": 0,
        # An empty query before each use: after a restart of PostgreSQL the pool is full of dead connections.
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"pool": {"min_size": 0, "max_size": 16, "timeout": 10}},
    }
}
REDIS_URL = ENV.redis_url
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL or "redis://127.0.0.1:6379/0",
        # Every key carries its tenant, or says that it has none.
        "KEY_FUNCTION": "tenants.context.cache_key",
    }
}

# --- People ---------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    "tenants.auth.MembershipBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "tenants.auth.AccountAdapter"
ACCOUNT_SESSION_REMEMBER = True
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# --- Requests -------------------------------------------------------------------------------------------------------

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "routex_site.console.headers.ServerTimingMiddleware",
    "routex_site.console.headers.SecurityPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tenants.middleware.TenantMiddleware",
    "tenants.middleware.ApiMiddleware",
    "tenants.middleware.ClientMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "routex_site.console.preferences.console_context",
            ],
        },
    }
]
STATIC_URL = "/static/"
# Served from where they lie: no collecting step stands between a change, or a start, and the page.
WHITENOISE_USE_FINDERS = True
STATICFILES_DIRS = [ROOT / "static"]
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = "routex_session"
CSRF_COOKIE_NAME = "routex_csrf"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PUBLIC_URL.startswith("https://"):
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Management API -------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.rest.access.CallerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.rest.access.RoleAllows"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "tenants.rest.paging.KeysetPaging",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "tenants.rest.schema.ApiSchema",
    "EXCEPTION_HANDLER": "tenants.rest.errors.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Routex management API",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    # The scripts come with the sidecar package: the page asks no other host.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {"KeyState": "tenants.models.KeyState", "TenantState": "tenants.models.Tenant.State"},
    "PREPROCESSING_HOOKS": ["tenants.rest.schema.only_management_paths"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tenants.rest.schema.add_problems",
    ],
}

# --- Admin pages ----------------------------------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "tenants.admin_navigation.site_title",
    "SITE_HEADER": "tenants.admin_navigation.site_title",
    "SITE_SYMBOL": "alt_route",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "/static/img/mark.svg"}],
    "THEME": "tenants.admin_navigation.theme",
    "SIDEBAR": {"navigation": "tenants.admin_navigation.navigation"},
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    # The console's accent, from static/css/tokens.css.
    "COLORS": {
        "primary": {
            "50": "#f3f4fe",
            "100": "#e8eafd",
            "200": "#d3d7fb",
            "300": "#b4bbf8",
            "400": "#9aa6ff",
            "500": "#7580f0",
            "600": "#3f4fd0",
            "700": "#3442b8",
            "800": "#2b3695",
            "900": "#272f78",
            "950": "#191e4b",
        }
    },
}

# --- Background work ------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL or "redis://127.0.0.1:6379/0"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 600
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "routex_site.beat:PlainScheduler"

# --- Logging --------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {"django.request": {"level": "ERROR"}, "httpx": {"level": "WARNING"}},
}
