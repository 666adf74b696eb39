"""The list of checksums of a vendor: fetched, and believed only where his key is behind it."""

from __future__ import annotations

import shlex

from kvmkeep.model.command import Action, Command, Meaning
from kvmkeep.model.image_facts import ImageFacts
from kvmkeep.model.plan import Noun, Refusal, Step
from kvmkeep.model.spec import ChecksumList, Image
from kvmkeep.model.store import LIST_LIMIT, list_path, part_path
from kvmkeep.planning.images.files import bring, complete, image_dir, remove

_NO_KEY = Meaning(
    words="",
    sentence="No key of the keyring signed it, or only one that has expired or was revoked. Get the"
    " maker's present key over another way than the list, and put it into the keyring.",
)


def list_step(image: Image, sums: ChecksumList) -> Step:
    """Get the list of checksums that vouches for an image."""
    target = list_path(image)
    part = part_path(target)
    actions: list[Action] = [image_dir()]
    if sums.signature == "inline":
        signed = part_path(f"{target}.asc")
        actions.append(bring(sums.source, signed, "the signed checksum list", LIST_LIMIT))
        actions.extend(_vouched(sums.keyring, target, "--output", part, signed))
        actions.append(remove((signed,), "the signed list has done its work"))
    else:
        actions.append(bring(sums.source, part, "the checksum list", LIST_LIMIT))
    if sums.signature and sums.signature != "inline":
        signature = part_path(f"{target}.sig")
        actions.append(bring(sums.signature, signature, "the list's signature", LIST_LIMIT))
        actions.extend(_vouched(sums.keyring, target, signature, part))
        actions.append(remove((signature,), "the signature has done its work"))
    actions.extend(complete(part, target))
    vouched = "" if sums.signature else " (it is not signed)"
    return Step(
        noun=Noun.IMAGES,
        subject=f"image {image.name}",
        what=f"get the checksum list {sums.source}",
        why=f"it says what the image must be{vouched}",
        actions=tuple(actions),
    )


def list_refusals(image: Image, known: ImageFacts) -> tuple[Refusal, ...]:
    """Refuse a keyring that gpgv would say of that it can't find the key in it."""
    if not (isinstance(image.check, ChecksumList) and known.keyring_is_text):
        return ()
    keyring = image.check.keyring
    binary = f"{keyring.removesuffix('.asc').removesuffix('.gpg')}-keyring.gpg"
    reason = f"its keyring {keyring} is armored (text), and gpgv reads binary ones only"
    hint = f"gpg --dearmor < {shlex.quote(keyring)} > {shlex.quote(binary)}, and name that file"
    return (Refusal(subject=f"image {image.name}", reason=reason, hint=hint),)


def _vouched(keyring: str, target: str, *words: str) -> tuple[Command, ...]:
    """Check a signature, and that the key behind it still counts.

    gpgv ends with 0 too where the key has expired or was revoked; only its status tells (GnuPG's
    doc/DETAILS: EXPSIG, EXPKEYSIG and REVKEYSIG come in place of GOODSIG). A maker who changes
    keys signs with both for a while, and one good signature is enough: each covers all of it.
    """
    status = part_path(f"{target}.status")
    return (
        Command(
            argv=("gpgv", "--status-fd", "1", "--keyring", keyring, *words),
            why="check the list's signature, and keep only what it vouches for",
            stdout_to=status,
        ),
        Command(
            argv=("grep", "-aqsE", "-e", r"^\[GNUPG:\] GOODSIG ", "--", status),
            why="see that a key of the keyring that still counts is behind it",
            meanings=(_NO_KEY,),
        ),
        remove((status,), "its status has done its work"),
    )
