"""A person's home folder whose git is configured to say everything in another way."""

import shutil
import subprocess
from pathlib import Path

import pytest

CONFIG = """
[user]
    name = Somebody
    email = some@body
    signingKey = {home}/key.pub
[gpg]
    format = ssh
[gpg "ssh"]
    allowedSignersFile = {home}/signers
[commit]
    gpgSign = true
    cleanup = verbatim
    template = /nowhere
    verbose = true
[tag]
    gpgSign = true
    sort = -version:refname
[log]
    showSignature = true
    follow = true
    decorate = full
    date = relative
    abbrevCommit = true
[color]
    ui = always
[column]
    ui = always
[core]
    quotePath = true
    abbrev = 40
    pager = false
    editor = false
    attributesFile = {home}/attributes
[pager]
    log = true
    status = true
    diff = true
[status]
    showUntrackedFiles = no
    branch = true
    short = true
    renames = copies
    relativePaths = false
    showStash = true
[diff]
    external = false
    renames = copies
    relative = true
    noprefix = true
    mnemonicPrefix = true
    orderFile = /nowhere
    ignoreSubmodules = all
    autoRefreshIndex = false
[diff "json"]
    textconv = wc --bytes
[branch]
    sort = -committerdate
    autoSetupMerge = false
[versionsort]
    suffix = v
[fetch]
    prune = true
    pruneTags = true
[remote "origin"]
    fetch = +refs/tags/*:refs/tags/*
    prune = true
    pruneTags = true
    tagOpt = --tags
[push]
    default = nothing
    followTags = true
[clone]
    defaultRemoteName = elsewhere
[init]
    defaultBranch = trunk
[i18n]
    commitEncoding = latin1
    logOutputEncoding = latin1
"""


def make_hostile_home(home: Path) -> Path:
    """Write a ``.gitconfig`` that signs all commits and tags, and changes whatever git prints, fetches and pushes."""
    if not shutil.which("ssh-keygen"):
        pytest.skip("there is no ssh-keygen to sign with")
    home.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / "key"], check=True)
    (home / "signers").write_text(f"some@body {(home / 'key.pub').read_text()}")
    (home / "attributes").write_text("*.json diff=json\n")
    (home / ".gitconfig").write_text(CONFIG.format(home=home))
    return home
