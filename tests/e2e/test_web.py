"""The HTTP side as strangers meet it: TLS, client certificates, users, limits, and changes of all of
these while the daemon runs."""
import base64
import contextlib
import gzip
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

import pytest
from conftest import LOOPSIGHT, free_port, http_get, running, wait_for_port, wait_until

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
# Of "secret" and of "changed", of cost 4.
SECRET = "$2y$04$X0h1gDsPszWURQaxFh.zouZdfSt7HzEy4CLiI.zRYe8se5CVhYyZ."
CHANGED = "$2y$04$X0h1gDsPszWURQaxFh.zouUmFtZqz9WHT.BcLEn2R949kt/UGBo5C"

TLS = """
tls_server_config:
  cert_file: %(certificate)s.crt
  key_file: %(certificate)s.key
  client_ca_file: ca.crt
  client_auth_type: %(auth)s
"""
USERS = """
basic_auth_users:
  alice: %(hash)s
"""


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, **QUIET)


KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make_authority(folder, name):
    files = ["-keyout", name + ".key", "-out", name + ".crt"]
    openssl(folder, "req", "-x509", *KEY, *files, "-subj", "/CN=" + name, "-days", "2")


def make_certificate(folder, name, authority):
    files = ["-keyout", name + ".key", "-out", name + ".csr"]
    openssl(folder, "req", *KEY, *files, "-subj", "/CN=" + name)
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    signer = ["-CA", authority + ".crt", "-CAkey", authority + ".key", "-CAcreateserial"]
    files = ["-in", name + ".csr", "-out", name + ".crt", "-extfile", "extensions"]
    openssl(folder, "x509", "-req", *files, *signer, "-days", "2")


class Client:
    """Asks the daemon over TLS, perhaps with a certificate of its own."""

    def __init__(self, port, folder, certificate=None, version=None):
        self.port = port
        self.context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        if certificate:
            files = [str(folder / (certificate + end)) for end in (".crt", ".key")]
            self.context.load_cert_chain(*files)
        if version:
            self.context.maximum_version = version

    def ask(self, path="/-/healthy", user=None, method="GET", headers=()):
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=self.context
        )
        headers = dict(headers)
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    def status(self, *arguments, **options):
        return self.ask(*arguments, **options)[0]

    def is_refused(self):
        try:
            self.status(user="alice:secret")
        except (OSError, http.client.HTTPException):  # in the handshake, or at the first answer
            return True
        return False

    def server_name(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as plain:
            with self.context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
                return dict(pair[0] for pair in secure.getpeercert()["subject"])["commonName"]


@contextlib.contextmanager
def daemon(log, *options):
    port = free_port()
    command = [LOOPSIGHT, "run", "--web.listen-address", "127.0.0.1:%d" % port, *options]
    with open(log, "w") as errors, running(command, stderr=errors) as process:
        assert wait_until(lambda: "watching" in log.read_text() or process.poll() is not None, 60)
        assert process.poll() is None, log.read_text()
        yield port


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A daemon that asks for a client certificate and a password: port, folder, log."""
    folder = tmp_path_factory.mktemp("web")
    for authority in ("ca", "stranger-ca"):
        make_authority(folder, authority)
    make_certificate(folder, "server", "ca")
    make_certificate(folder, "client", "ca")
    make_certificate(folder, "stranger", "stranger-ca")
    config = folder / "web.yml"
    values = {"certificate": "server", "auth": "RequireAndVerifyClientCert", "hash": SECRET}
    config.write_text((TLS + USERS) % values)
    log = folder / "log"
    with daemon(log, "--web.config.file", str(config)) as port:
        yield port, folder, log


def test_only_who_has_certificate_and_password_comes_in(guarded):
    port, folder, _ = guarded
    assert Client(port, folder).is_refused()
    assert Client(port, folder, "stranger").is_refused()
    client = Client(port, folder, "client")
    assert client.status() == 401
    assert client.status(user="alice:wrong") == 401
    assert client.status(user="bob:secret") == 401
    assert client.status(user="alice:secret") == 200
    status, _, headers = client.ask("/metrics", user="alice:wrong")
    assert status == 401 and headers["WWW-Authenticate"].startswith("Basic ")
    with pytest.raises((OSError, http.client.HTTPException)):
        http_get(port, "/-/healthy")  # not without TLS


def test_only_get_and_head(guarded):
    client = Client(guarded[0], guarded[1], "client")
    status, body, headers = client.ask("/metrics", "alice:secret", "HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 0
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, _, headers = client.ask("/metrics", "alice:secret", method)
        assert status == 405 and headers["Allow"] == "GET, HEAD"


def test_metrics_are_compressed_where_that_is_asked(guarded):
    client = Client(guarded[0], guarded[1], "client")
    _, packed, headers = client.ask("/metrics", "alice:secret", headers={"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"loopsight_build_info{" in gzip.decompress(packed)


def test_idle_connections_delay_nobody(guarded):
    port, folder, _ = guarded
    with contextlib.ExitStack() as stack:
        for number in range(400):  # more than are let in
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            if number % 2:
                idle.send(b"\x16\x03\x01")  # a handshake that never goes on
        start = time.monotonic()
        assert Client(port, folder, "client").status("/metrics", "alice:secret") == 200
        # Far below the time-out that a server would need which waits for them.
        assert time.monotonic() - start < 10


def test_wrong_passwords_do_not_hold_up_right_ones(guarded):
    port, folder, _ = guarded
    client = Client(port, folder, "client")
    over = threading.Event()

    def guess():
        while not over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                client.status(user="alice:%d" % time.monotonic_ns())

    threads = [threading.Thread(target=guess) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        statuses = [client.status("/metrics", "alice:secret") for _ in range(5)]
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 5


def test_prometheus_scrapes_through_all_of_it(guarded, tmp_path):
    port, folder, _ = guarded
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "- job_name: loopsight\n"
        "  scheme: https\n"
        "  tls_config: {ca_file: %(f)s/ca.crt, cert_file: %(f)s/client.crt, key_file: %(f)s/client.key}\n"
        "  basic_auth: {username: alice, password: secret}\n"
        "  static_configs:\n"
        "  - targets: ['127.0.0.1:%(port)d']\n" % {"f": folder, "port": port}
    )
    web = free_port()
    command = ["prometheus", "--config.file=%s" % config, "--log.level=error"]
    command += ["--storage.tsdb.path=%s" % (tmp_path / "tsdb")]
    command += ["--web.listen-address=127.0.0.1:%d" % web]

    def is_up():
        status, answer = http_get(web, "/api/v1/query?query=up")
        result = json.loads(answer)["data"]["result"] if status == 200 else []
        return result and result[0]["value"][1] == "1"

    with running(command, **QUIET):
        wait_for_port(web, 60)
        assert wait_until(is_up, 60)


def test_changes_are_picked_up(guarded):
    """The last of those that use this daemon: it is another one afterwards."""
    port, folder, log = guarded
    config = folder / "web.yml"
    client = Client(port, folder, "client")
    assert client.server_name() == "server"

    # A new certificate under the same name.
    make_certificate(folder, "renewed", "ca")
    for end in (".key", ".crt"):
        os.replace(folder / ("renewed" + end), folder / ("server" + end))
    assert wait_until(lambda: client.server_name() == "renewed", 30)

    # Another password, and certificates only for those who have one.
    values = {"certificate": "server", "auth": "VerifyClientCertIfGiven", "hash": CHANGED}
    config.write_text((TLS + "  min_version: TLS13\n" + USERS) % values)
    assert wait_until(lambda: client.status(user="alice:secret") == 401, 30)
    anybody = Client(port, folder)
    assert anybody.status(user="alice:changed") == 200
    assert Client(port, folder, "stranger").is_refused()
    assert Client(port, folder, "client", ssl.TLSVersion.TLSv1_2).is_refused()

    # What is wrong changes nothing and is said once.
    before = log.read_text()
    config.write_text("tls_server_config:\n  certfile: server.crt\n")

    def complaints():
        return re.findall(r"stays as it was: .*", log.read_text()[len(before) :])

    assert wait_until(lambda: anybody.status(user="alice:changed") == 200 and complaints(), 30)
    assert "web.yml:2:3: unknown key 'certfile'" in complaints()[0]
    for _ in range(3):
        time.sleep(1)
        assert anybody.status(user="alice:changed") == 200
    assert len(complaints()) == 1


def test_an_error_in_the_file_ends_the_start(tmp_path):
    config = tmp_path / "web.yml"
    config.write_text("basic_auth_users:\n  alice: secret\n")
    got = subprocess.run(
        [LOOPSIGHT, "run", "--web.listen-address=127.0.0.1:0", "--web.config.file", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert got.returncode == 1
    assert "%s:2:10: the password of 'alice' must be a bcrypt hash" % config in got.stderr
