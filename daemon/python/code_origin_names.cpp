// Names of packages and modules by whose code they are.
#include <algorithm>

#include "daemon/python/code_origin.h"

namespace loopsight {
namespace {

// clang-format off

// What calls the code of a service and whose own frames say nothing about it: event loops, servers,
// frameworks, command lines, and what measures them.
constexpr std::string_view kPlumbingPackages[] = {
    "IPython", "aiohttp", "aiojobs", "aiosignal", "anyio", "asgi_correlation_id", "asgiref",
    "async_timeout", "asyncclick", "awslambdaric", "billiard", "blacksheep", "bottle", "celery",
    "channels", "cheroot", "click", "cloudpickle", "curio", "daphne", "ddtrace", "debugpy",
    "django", "elasticapm", "engineio", "eventlet", "exceptiongroup", "falcon", "fastapi", "fire",
    "flask", "gevent", "granian", "greenlet", "grpc", "gunicorn", "h11", "h2", "httptools",
    "hypercorn", "ipykernel", "janus", "joblib", "kombu", "litestar", "loky", "mangum",
    "nest_asyncio", "newrelic", "opentelemetry", "prometheus_fastapi_instrumentator", "pydevd",
    "pyramid", "quart", "rich_click", "rloop", "robyn", "sanic", "sentry_sdk", "setproctitle",
    "sniffio", "socketio", "starlette", "starlette_exporter", "starlette_prometheus", "tornado",
    "traitlets", "trio", "twisted", "typer", "uvicorn", "uvicorn_worker", "uvloop", "waitress",
    "websockets", "werkzeug", "wrapt", "wsproto", "zope"};

// Installed packages that are known by name, for where no folder tells: in an archive, in a frozen
// application, in a folder of vendored packages.
constexpr std::string_view kOtherPackages[] = {
    "Crypto", "MySQLdb", "OpenSSL", "PIL", "PyInstaller", "aioboto3", "aiobotocore", "aiofiles",
    "aiogram", "aiohappyeyeballs", "aiokafka", "aiomysql", "aiopg", "aioredis", "aiosmtplib",
    "aiosqlite", "alembic", "amqp", "annotated_doc", "annotated_types", "anthropic",
    "apscheduler", "argon2", "arrow", "asyncmy", "asyncpg", "asyncssh", "attr", "attrs", "babel",
    "backoff", "bcrypt", "boto", "boto3", "botocore", "bs4", "bson", "cachetools", "cattr",
    "cattrs", "certifi", "cffi", "chardet", "charset_normalizer", "colorama", "confluent_kafka",
    "cryptography", "cv2", "cx_Freeze", "dateutil", "discord", "dns", "docutils", "ecdsa",
    "elastic_transport", "elasticsearch", "email_validator", "faker", "faust", "filelock",
    "frozenlist", "fsspec", "geopy", "google", "google_auth", "googleapiclient", "graphene",
    "graphql", "greenback", "grpc_status", "html5lib", "httpcore", "httplib2", "httpx",
    "humanize", "idna", "importlib_metadata", "importlib_resources", "itsdangerous", "jinja2",
    "jmespath", "jose", "jsonpatch", "jsonschema", "jwt", "kafka", "kubernetes", "ldap3", "lxml",
    "mako", "markdown", "markupsafe", "marshmallow", "matplotlib", "minio", "mongoengine",
    "more_itertools", "motor", "msgpack", "multidict", "multipart", "mysql", "nats", "networkx",
    "nltk", "numpy", "oauthlib", "odmantic", "openai", "openpyxl", "opensearchpy", "orjson",
    "packaging", "pandas", "paramiko", "passlib", "peewee", "pendulum", "pika", "pip",
    "pkg_resources", "playwright", "polars", "pony", "portalocker", "prometheus_client",
    "propcache", "psutil", "psycopg", "psycopg2", "pyarrow", "pyasn1", "pycparser", "pydantic",
    "pydantic_core", "pydantic_settings", "pygments", "pymongo", "pymysql", "pyparsing",
    "python_multipart", "pytz", "pywintypes", "redis", "regex", "reportlab", "requests",
    "requests_oauthlib", "retry", "retrying", "rsa", "ruamel", "s3transfer", "scipy", "selenium",
    "setuptools", "shapely", "simplejson", "six", "sklearn", "slack_sdk", "soupsieve",
    "sqlalchemy", "sqlmodel", "sqlparse", "stripe", "sympy", "tabulate", "telegram", "tenacity",
    "tiktoken", "tokenizers", "toml", "tomli", "tomlkit", "toolz", "torch", "tortoise", "tqdm",
    "transformers", "typing_extensions", "typing_inspection", "tzlocal", "ujson", "uritemplate",
    "urllib3", "validators", "watchfiles", "watchgod", "webob", "whoosh", "win32api", "xlrd",
    "xmltodict", "yaml", "yarl", "zipp", "zmq", "zstandard"};

// The modules of the standard library that have Python code, of all versions from 3.8 on
// (sys.stdlib_module_names of each).
constexpr std::string_view kLibraryModules[] = {
    "__future__", "_aix_support", "_android_support", "_apple_support", "_bootlocale",
    "_bootsubprocess", "_collections_abc", "_colorize", "_compat_pickle", "_compression",
    "_ios_support", "_markupbase", "_opcode_metadata", "_osx_support", "_py_abc", "_pydatetime",
    "_pydecimal", "_pyio", "_pylong", "_pyrepl", "_sitebuiltins", "_strptime", "_threading_local",
    "_weakrefset", "abc", "aifc", "annotationlib", "antigravity", "argparse", "ast", "asynchat",
    "asyncio", "asyncore", "base64", "bdb", "binhex", "bisect", "bz2", "cProfile", "calendar",
    "cgi", "cgitb", "chunk", "cmd", "code", "codecs", "codeop", "collections", "colorsys",
    "compileall", "compression", "concurrent", "configparser", "contextlib", "contextvars",
    "copy", "copyreg", "crypt", "csv", "ctypes", "curses", "dataclasses", "datetime", "dbm",
    "decimal", "difflib", "dis", "distutils", "doctest", "dummy_threading", "email", "encodings",
    "ensurepip", "enum", "filecmp", "fileinput", "fnmatch", "formatter", "fractions", "ftplib",
    "functools", "genericpath", "getopt", "getpass", "gettext", "glob", "graphlib", "gzip",
    "hashlib", "heapq", "hmac", "html", "http", "idlelib", "imaplib", "imghdr", "imp",
    "importlib", "inspect", "io", "ipaddress", "json", "keyword", "lib2to3", "linecache",
    "locale", "logging", "lzma", "macpath", "mailbox", "mailcap", "mimetypes", "modulefinder",
    "multiprocessing", "netrc", "nntplib", "ntpath", "nturl2path", "numbers", "opcode",
    "operator", "optparse", "os", "parser", "pathlib", "pdb", "pickle", "pickletools", "pipes",
    "pkgutil", "platform", "plistlib", "poplib", "posixpath", "pprint", "profile", "pstats",
    "pty", "py_compile", "pyclbr", "pydoc", "pydoc_data", "queue", "quopri", "random", "re",
    "reprlib", "rlcompleter", "runpy", "sched", "secrets", "selectors", "shelve", "shlex",
    "shutil", "signal", "site", "smtpd", "smtplib", "sndhdr", "socket", "socketserver", "sqlite3",
    "sre_compile", "sre_constants", "sre_parse", "ssl", "stat", "statistics", "string",
    "stringprep", "struct", "subprocess", "sunau", "symbol", "symtable", "sysconfig", "tabnanny",
    "tarfile", "telnetlib", "tempfile", "textwrap", "this", "threading", "timeit", "tkinter",
    "token", "tokenize", "tomllib", "trace", "traceback", "tracemalloc", "tty", "turtle",
    "turtledemo", "types", "typing", "unittest", "urllib", "uu", "uuid", "venv", "warnings",
    "wave", "weakref", "webbrowser", "wsgiref", "xdrlib", "xml", "xmlrpc", "zipapp", "zipfile",
    "zipimport", "zoneinfo"};

// clang-format on

template <size_t kCount>
constexpr bool is_sorted(const std::string_view (&names)[kCount]) {
  for (size_t i = 1; i < kCount; i++)
    if (!(names[i - 1] < names[i])) return false;
  return true;
}
static_assert(is_sorted(kPlumbingPackages) && is_sorted(kOtherPackages) &&
              is_sorted(kLibraryModules));

template <size_t kCount>
bool has(const std::string_view (&names)[kCount], std::string_view name) {
  return std::binary_search(std::begin(names), std::end(names), name);
}

}  // namespace

bool is_plumbing_package(std::string_view name) { return has(kPlumbingPackages, name); }
bool is_known_package(std::string_view name) {
  return has(kPlumbingPackages, name) || has(kOtherPackages, name);
}
bool is_library_module(std::string_view name) { return has(kLibraryModules, name); }

}  // namespace loopsight
