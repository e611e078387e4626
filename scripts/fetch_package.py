#!/usr/bin/env python3
"""Fetches one file of a Python package into a folder: fetch_package.py PROJECT FILE SHA256 FOLDER.

The index is the one that the user's pip is set up for. A broken download goes on where it stopped (FILE.part is kept);
a file counts only once its hash is right, and one in the folder that is not is fetched again. Two runs at once take
turns, so that the second finds what the first fetched.
"""
import base64
import fcntl
import hashlib
import html.parser
import http.client
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# A download may break this often without a single new byte before we give up.
ATTEMPTS = 4


class GiveUp(Exception):
    """Trying again would not help."""


def note(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def pip_setting(name):
    """What the user's pip is told: its environment variable, else its configuration files."""
    value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
    for section in ("global", "install", "download"):
        if value:
            break
        ask = subprocess.run([sys.executable, "-m", "pip", "config", "get", f"{section}.{name}"],
                             capture_output=True, text=True)
        value = ask.stdout.strip() if ask.returncode == 0 else ""
    return value


def index_url():
    url = pip_setting("index-url")
    if not url:
        try:
            from pip._internal.models.index import PyPI
        except ImportError:
            raise GiveUp("no package index is known: install python3-pip, or set PIP_INDEX_URL") from None
        url = PyPI.simple_url
    return url.rstrip("/") + "/"


class Web:
    """Opens addresses with pip's certificate, and with the index's user and password on the index's host alone."""

    def __init__(self):
        parts = urllib.parse.urlsplit(index_url())
        self.host = parts.netloc.rpartition("@")[2]
        self.index = parts._replace(netloc=self.host).geturl()
        self.credentials = ""
        if parts.username:
            pair = urllib.parse.unquote(parts.username) + ":" + urllib.parse.unquote(parts.password or "")
            self.credentials = "Basic " + base64.b64encode(pair.encode()).decode()
        certificate = pip_setting("cert") or os.environ.get("REQUESTS_CA_BUNDLE")
        self.context = ssl.create_default_context(cafile=certificate or None)

    def open(self, url, headers):
        headers["User-Agent"] = "powerhouse-setup"
        if self.credentials and urllib.parse.urlsplit(url).netloc == self.host:
            headers["Authorization"] = self.credentials
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=60, context=self.context)


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.found += [value for name, value in attributes if name == "href" and value]


def find_file(web, project, name):
    with web.open(web.index + project + "/", {"Accept": "text/html"}) as answer:
        links = Links()
        links.feed(answer.read().decode())
        base = answer.geturl()
    for link in links.found:
        url = urllib.parse.urljoin(base, link.split("#")[0])
        if urllib.parse.unquote(urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]) == name:
            return url
    raise GiveUp(f"the package index has no {name}")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def download(web, url, part):
    have = size(part)
    try:
        answer = web.open(url, {"Range": f"bytes={have}-"} if have else {})
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing behind what we have: the hash will tell
            return
        raise
    resumed = answer.status == 206
    if resumed:
        note(f"going on at {have >> 20} MiB")
    with answer, open(part, "ab" if resumed else "wb") as file:
        expected = answer.headers.get("Content-Length")
        expected = int(expected) if expected else None
        got = 0
        while block := answer.read(1 << 20):
            file.write(block)
            got += len(block)
            if expected and sys.stderr.isatty():
                print(f"\r  {100 * (have * resumed + got) // (have * resumed + expected)} % ", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r       \r", end="", file=sys.stderr)
    if expected is not None and got != expected:
        raise ConnectionError("the connection ended early")


def fetch(project, name, wanted, folder):
    path, part = os.path.join(folder, name), os.path.join(folder, name + ".part")
    if os.path.exists(path):
        if sha256(path) == wanted:
            return
        note(f"{name} in the cache is damaged: fetching it again")
        os.remove(path)
    note(f"fetching {name}")
    web, failures, wrong = Web(), 0, 0
    while failures < ATTEMPTS:
        before = size(part)
        try:
            download(web, find_file(web, project, name), part)
        except (OSError, http.client.HTTPException) as error:  # what has come so far is kept
            if isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500 and error.code not in (408, 429):
                raise GiveUp(f"the package index answers {error.code} {error.reason}") from None
            failures = 0 if size(part) > before else failures + 1
            note(f"{error}; trying again")
            time.sleep(2 ** failures)
            continue
        if sha256(part) == wanted:
            os.replace(part, path)
            return
        os.remove(part)
        wrong += 1
        if wrong == 2:
            raise GiveUp("what the index gives has another hash than the one pinned")
        note("the hash is wrong: starting anew")
    raise GiveUp("no attempt succeeded; run the script again to go on where it stopped")


def main():
    if len(sys.argv) != 5:
        sys.exit("usage: fetch_package.py PROJECT FILE SHA256 FOLDER")
    project, name, wanted, folder = sys.argv[1:]
    try:
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, name + ".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fetch(project, name, wanted, folder)
    except (GiveUp, OSError) as error:
        sys.exit(f"powerhouse: could not fetch {name}: {error}")


if __name__ == "__main__":
    main()
