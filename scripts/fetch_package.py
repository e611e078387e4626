#!/usr/bin/env python3
"""Fetches one file of a Python package into a folder: fetch_package.py PROJECT FILE SHA256 FOLDER.

The index is the one that the user's pip is set up for. A broken download goes on where it stopped (FILE.part is kept);
a file counts only once its hash is right. Nothing is fetched where the folder holds the file already.
"""
import hashlib
import html.parser
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


def index_url():
    url = os.environ.get("PIP_INDEX_URL")
    if not url:
        ask = subprocess.run([sys.executable, "-m", "pip", "config", "get", "global.index-url"],
                             capture_output=True, text=True)
        url = ask.stdout.strip() if ask.returncode == 0 else ""
    if not url:
        from pip._internal.models.index import PyPI
        url = PyPI.simple_url
    return url.rstrip("/") + "/"


def open_url(url, headers=None):
    certificate = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    context = ssl.create_default_context(cafile=certificate) if certificate else None
    request = urllib.request.Request(url, headers={"User-Agent": "powerhouse-setup", **(headers or {})})
    return urllib.request.urlopen(request, timeout=60, context=context)


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.found += [value for name, value in attributes if name == "href" and value]


def find_file(project, name):
    page = index_url() + project + "/"
    with open_url(page, {"Accept": "text/html"}) as answer:
        links = Links()
        links.feed(answer.read().decode())
        base = answer.geturl()
    for link in links.found:
        url = urllib.parse.urljoin(base, link.split("#")[0])
        if urllib.parse.unquote(url.rsplit("/", 1)[-1]) == name:
            return url
    sys.exit(f"fetch_package: the package index has no {name} of {project}")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def download(url, part):
    have = os.path.getsize(part) if os.path.exists(part) else 0
    try:
        answer = open_url(url, {"Range": f"bytes={have}-"} if have else None)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # nothing behind what we have: the hash will tell
            raise
        return
    with answer, open(part, "ab" if answer.status == 206 else "wb") as file:
        if answer.status == 206:
            print(f"  going on at {have >> 20} MiB", file=sys.stderr)
        shutil.copyfileobj(answer, file, 1 << 20)
        expected = answer.headers.get("Content-Length")
        got = file.tell() - (have if answer.status == 206 else 0)
        if expected is not None and got != int(expected):
            raise ConnectionError("the connection ended early")


def main():
    if len(sys.argv) != 5:
        sys.exit("usage: fetch_package.py PROJECT FILE SHA256 FOLDER")
    project, name, wanted, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    path, part = os.path.join(folder, name), os.path.join(folder, name + ".part")
    if os.path.exists(path):
        if sha256(path) == wanted:
            return
        print(f"  {name} in the cache is damaged: fetching it again", file=sys.stderr)
        os.remove(path)
    print(f"  fetching {name}", file=sys.stderr)
    for attempt in range(5):
        try:
            download(find_file(project, name), part)
        except (OSError, urllib.error.URLError) as error:  # what has come so far is kept
            print(f"  {error}; trying again", file=sys.stderr)
            time.sleep(2 ** attempt)
            continue
        if sha256(part) == wanted:
            os.replace(part, path)
            return
        print("  the hash is wrong: starting anew", file=sys.stderr)
        os.remove(part)
    sys.exit(f"fetch_package: could not fetch {name}; run the script again to go on")


if __name__ == "__main__":
    main()
