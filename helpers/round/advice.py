"""The remedy for an answer of git, when it does not commit or push a round."""

import re
from collections.abc import Iterable

# The first that fits counts. A rejected push also says that the remote "hung up", so that silence comes late.
REMEDIES = {
    r"\[rejected\] \((fetch first|non-fast-forward)\)": (
        "`{remote}` has commits that are not here: `git pull --rebase` brings them. Then run again. If a round of "
        "somebody else is among them, see docs/troubleshooting.md."
    ),
    r"\(already exists\)|cannot lock ref|failed to update ref": "Somebody else pushed at the same moment: run again.",
    r"\[remote rejected\]": (
        "The server refuses it by a rule or a hook of its own. If that protects the branch, a pull request publishes "
        "the round: `git push {remote} HEAD:refs/heads/<a new branch>`. See docs/your-images.md, Pull requests."
    ),
    r"failed to sign|unable to sign|signingkey|public key /|--signed push": (
        "git could not sign it. `git config --get-regexp 'sign|gpg'` shows the settings that ask for a signature, and "
        "its key. Mend or unset them; then run again."
    ),
    r"tell me who you are|no (email|name) was given|empty ident": "Tell git your name as it says; then run again.",
    r"unable to access|Could not read|could not read|does not appear to be|Authentication failed|hung up": (
        "`{remote}` does not answer, or does not let you in. `git fetch {remote}` in a terminal asks for a password, "
        "and `git remote -v` shows the address. Then run again."
    ),
}
OTHERWISE = "If a hook of git refused it, put right what it says; files that it changed stay so. Then run again."


def advise(answer: Iterable[str], remote: str = "") -> str:
    """Return the remedy for what git answered, in lines, when it committed a round or pushed it to a remote."""
    said = "\n".join(answer)
    fitting = (remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, said))
    return next(fitting, OTHERWISE).format(remote=remote)
