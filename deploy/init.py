"""`make compose-init`: make the keys, tokens and passwords of the compose stack, for this installation alone.

They go to `.compose/`, readable by their owner only. What is there is kept, so running it again is harmless, and
adds what a newer release needs besides. `compose.yaml` hands each container the files it needs and no other.
Python's standard library only: it runs before anything is installed.
"""

import argparse
import base64
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGE_USER = 10001
"""Who the image runs as where root owns the files: no container of ours runs as root."""
SCOPES = {
    "gateway": ["reveal", "sync"],
    "front-door": ["api"],
    "models": ["api"],
    "secrets": ["api"],
}
"""Who calls services, and what each caller may ask of them."""
RIGHTS = ROOT / "libs" / "cli" / "modelport_cli" / "stack" / "rights"
"""Who may do what on NATS and Valkey, for this stack and the local one (modelport_cli.stack.plan)."""
SERVICES_WITH_DATABASE = ("models", "secrets")
SERVICES = (*SERVICES_WITH_DATABASE, "gateway")


class InitError(Exception):
    """The message is for whoever runs the stack."""


def main(arguments: list[str]) -> int:
    """Make what is missing and say what was done."""
    parser = argparse.ArgumentParser(prog="make compose-init", description=__doc__)
    parser.add_argument("--folder", type=Path, default=ROOT / ".compose", help="where the files go")
    parser.add_argument("--env-file", type=Path, default=ROOT / ".env", help="where docker compose reads settings")
    options = parser.parse_args(arguments)
    try:
        made = make_all(options.folder, options.env_file, user=os.getuid() or IMAGE_USER)
    except (InitError, OSError) as error:
        sys.stderr.write(f"compose-init: {error}\n")
        return 1
    sys.stdout.write(f"{options.folder}: {', '.join(made) if made else 'everything is there, nothing changed'}\n")
    if "kek" in made:
        sys.stdout.write("Keep a copy of its file kek in a safe place: without it no stored secret can be read.\n")
    return 0


def make_all(folder: Path, env_file: Path, *, user: int) -> list[str]:
    """Make what is missing for containers that run as `user`; return the names of the new files."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / "kek").exists():
        raise InitError(
            f"{folder} has no kek, the key that stored secrets are encrypted with: restore it from a backup, or remove"
            " the whole folder and the stack's volumes (docker compose down --volumes) to begin anew"
        )
    files = _Files(folder, user)
    files.once("kek", lambda: base64.b64encode(secrets.token_bytes(32)).decode(), mounted=True)
    tokens = {caller: files.once(f"{caller}.token", lambda: secrets.token_hex(32), mounted=True) for caller in SCOPES}
    roles = ("admin", *SERVICES_WITH_DATABASE, *(f"{name}-owner" for name in SERVICES_WITH_DATABASE))
    postgres = {role: files.once(f"postgres-{role}.password", _password) for role in roles}
    nats = {service: files.once(f"nats-{service}.password", _password) for service in SERVICES}
    valkey = files.once("valkey-gateway.password", _password)

    # The rest follows from the above, and is written anew so that it never disagrees with it.
    files.derived("trust.json", json.dumps(_trusted(tokens), indent=1), mounted=True)
    files.derived("valkey.users", _valkey_users(valkey), mounted=True)
    files.derived(
        "postgres.env",
        _environment(
            POSTGRES_PASSWORD=postgres["admin"],
            MODELS_PASSWORD=postgres["models"],
            MODELS_OWNER_PASSWORD=postgres["models-owner"],
            SECRETS_PASSWORD=postgres["secrets"],
            SECRETS_OWNER_PASSWORD=postgres["secrets-owner"],
        ),
    )
    files.derived("nats.env", _environment(**{f"NATS_{name.upper()}_PASSWORD": nats[name] for name in SERVICES}))
    for name in SERVICES:
        values = {"MODELPORT_NATS_URL": f"nats://{name}:{nats[name]}@nats:4222"}
        if name in postgres:
            values["MODELPORT_DATABASE_URL"] = f"postgresql://{name}:{postgres[name]}@postgres:5432/{name}"
            owner = f"postgresql://{name}_owner:{postgres[f'{name}-owner']}@postgres:5432/{name}"
            migration = {"MODELPORT_DATABASE_URL": owner, "MODELPORT_DATABASE_ROLE": name}
            files.derived(f"{name}-migrate.env", _environment(**values | migration))
        if name == "gateway":
            values["MODELPORT_REDIS_URL"] = f"redis://gateway:{valkey}@valkey:6379/0"
        files.derived(f"{name}.env", _environment(**values))
    _set_user(env_file, user)
    return files.made


class _Files:
    def __init__(self, folder: Path, user: int) -> None:
        self._folder = folder
        self._user = user
        self.made: list[str] = []

    def once(self, name: str, make: Callable[[], str], *, mounted: bool = False) -> str:
        """Return the file's content; make the file if it is not there."""
        path = self._folder / name
        if not path.exists():
            self._write(path, make(), mounted)
        text = path.read_text().strip()
        if not text:
            raise InitError(f"{path} is empty: restore it from a backup")
        return text

    def derived(self, name: str, text: str, *, mounted: bool = False) -> None:
        """Write the file unless it says just this already: containers see a file, not its successor."""
        path = self._folder / name
        if not path.exists() or path.read_text().strip() != text.strip():
            self._write(path, text, mounted)

    def _write(self, path: Path, text: str, mounted: bool) -> None:
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text.strip() + "\n")
        if mounted and os.getuid() == 0:
            # Containers read it as their own user, who is not root.
            os.chown(temporary, self._user, self._user)
        temporary.replace(path)
        self.made.append(path.name)


def _password() -> str:
    # The letters in front keep NATS' configuration language from taking it for a number.
    return f"mp_{secrets.token_hex(32)}"


def _trusted(tokens: dict[str, str]) -> list[dict[str, object]]:
    return [
        {"caller": caller, "scopes": SCOPES[caller], "sha256": hashlib.sha256(token.encode()).hexdigest()}
        for caller, token in tokens.items()
    ]


def _valkey_users(password: str) -> str:
    # As modelport_cli.stack.plan.valkey_users, which cannot be imported before anything is installed.
    digest = hashlib.sha256(password.encode()).hexdigest()
    lines = (RIGHTS / "valkey-gateway.acl").read_text().splitlines()
    rights = " ".join(line for line in lines if not line.startswith("#"))
    return f"user default reset\nuser gateway on #{digest} {rights}"


def _environment(**values: str) -> str:
    return "\n".join(f"{name}={value}" for name, value in values.items())


def _set_user(env_file: Path, user: int) -> None:
    text = env_file.read_text() if env_file.exists() else ""
    if any(line.startswith("MODELPORT_UID=") for line in text.splitlines()):
        return
    env_file.touch(mode=0o600)
    line = f"# The owner of the key files, as whom the containers run.\nMODELPORT_UID={user}\n"
    env_file.write_text(text + ("\n" if text and not text.endswith("\n") else "") + line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
