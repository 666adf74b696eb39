"""Images: fetched, checked, unpacked, and looked into once."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from kvmkeep.model.command import Action, Command, Meaning, WriteFile
from kvmkeep.model.first_look import first_look_script
from kvmkeep.model.image_facts import Contents, Fingerprint, ImageFacts, ImageFile
from kvmkeep.model.look import look_argv
from kvmkeep.model.names import IMAGE_DIR
from kvmkeep.model.plan import Note, Noun, Refusal, Step
from kvmkeep.model.spec import Checksum, ChecksumList, FirstBoot, Format, Image, Packing
from kvmkeep.model.store import (
    LOOK_DIR,
    fetched_path,
    found_path,
    list_path,
    look_path,
    part_path,
    unpacked_path,
    verified_memo,
    verified_path,
)
from kvmkeep.model.units import Label, Size
from kvmkeep.planning.commands import same_file
from kvmkeep.planning.disks.stage import cloned_from, needs_image, needs_seed
from kvmkeep.planning.images.files import (
    bring,
    check,
    check_or_drop,
    complete,
    image_dir,
    remove,
    unpack,
)
from kvmkeep.planning.images.lists import list_refusals, list_step
from kvmkeep.planning.images.room import SLACK, comes, outgrown, room_refusals, stopped, within
from kvmkeep.planning.scene import Scene

_NO_REST = "leave no part of a file"

ASSUMED = Contents(
    os="", cloud_init=True, datasources=(), agent=True, bakes_disks=False, detail="assumed"
)
"""What an image is taken to hold until it has been looked into."""


class ImageSource(Struct, frozen=True, kw_only=True):
    """The file that guests are made from, as far as it is known.

    `assumes` is empty when all of it is known.
    """

    image: Image
    path: str
    fingerprint: Fingerprint | None
    virtual_size: Size | None
    contents: Contents
    assumes: str


class ImageWork(Struct, frozen=True, kw_only=True):
    """What is to be done about an image, and what then can be used."""

    steps: tuple[Step, ...]
    source: ImageSource


class _Stand(Struct, frozen=True, kw_only=True):
    """An image of the spec beside what is known of it.

    `limit` is what its file may be, `within` what may be written of it, and `stopped` what it may
    mean where that was not enough.
    """

    image: Image
    known: ImageFacts
    digest: str
    limit: Size
    within: Size
    stopped: Meaning
    look: bool
    openssl: bool

    @property
    def subject(self) -> str:
        return f"image {self.image.name}"


def image_works(scene: Scene) -> dict[Label, ImageWork]:
    """Return the work on each image that a new guest needs, in the spec's order."""
    users = [guest for guest in scene.guests if needs_image(scene, guest)]
    # What a clone holds is known without its image: see guest_work().
    seeded = [one for one in scene.guests if needs_seed(scene, one) and not cloned_from(scene, one)]
    needed = {guest.image for guest in (*users, *seeded)}
    looked = {guest.image for guest in (*users, *seeded) if guest.first_boot is not FirstBoot.NONE}
    works: dict[Label, ImageWork] = {}
    before = Size(0)
    for name, image in scene.images.items():
        if name not in needed:
            continue
        stand = _stand(scene, image, look=name in looked)
        both = before + stand.limit
        # Each alone may fit where both do not: only the next look tells what the first one left.
        tight = before.bytes > 0 and within(scene.facts, both) < both
        works[name] = _work(stand, "room is left for it" if tight else "")
        before = both if comes(image, stand.known) else before
    return works


def image_refusals(scene: Scene, works: dict[Label, ImageWork]) -> tuple[Refusal, ...]:
    """Return why images can't be used, whatever the guest."""
    found: list[Refusal] = []
    for name in works:
        stand = _stand(scene, scene.images[name], look=False)
        found.extend(_file_refusals(stand))
        found.extend(room_refusals(scene.facts, stand.image, stand.known))
        found.extend(list_refusals(stand.image, stand.known))
        header = stand.known.header
        if header is not None and header.refused:
            hint = "get the image from its maker again, or convert it on a machine you trust"
            reason = f"{stand.image.source}: {header.refused}"
            found.append(Refusal(subject=stand.subject, reason=reason, hint=hint))
        elif header is not None and header.format != stand.image.format:
            found.append(
                Refusal(
                    subject=stand.subject,
                    reason=f"it is {header.format}, but the spec says {stand.image.format}",
                    hint=f"write `format: {header.format}` if that is what you expect",
                )
            )
        if stand.known.digest_problem:
            list_file = list_path(stand.image)
            hint = f"correct the spec, or delete {list_file} to have the list fetched again"
            found.append(
                Refusal(subject=stand.subject, reason=stand.known.digest_problem, hint=hint)
            )
    return tuple(found)


def image_notes(scene: Scene, works: dict[Label, ImageWork]) -> tuple[Note, ...]:
    """Return what should be known of the images in use."""
    notes: list[Note] = []
    for name, work in works.items():
        image = scene.images[name]
        if image.check is None:
            text = "the spec gives no checksum: the file is used as it is"
            notes.append(Note(subject=f"image {name}", text=text))
        if work.source.contents.bakes_disks:
            text = "its own cloud-init settings format a second disk: the seed switches that off"
            notes.append(Note(subject=f"image {name}", text=text))
    return tuple(notes)


def _stand(scene: Scene, image: Image, *, look: bool) -> _Stand:
    known = scene.image_facts.get(image.name) or ImageFacts(
        name=image.name,
        original=None,
        usable=None,
        header=None,
        contents=None,
        digest_wanted="",
        digest_problem="",
        verified=False,
    )
    sums = image.check
    digest = f"{sums.algorithm}:{sums.digest}" if isinstance(sums, Checksum) else ""
    openssl = scene.tools.get("openssl")
    sizes = (guest.root.size for guest in scene.spec.guests if guest.image == image.name)
    limit = max(sizes, default=Size(0)) + SLACK
    return _Stand(
        image=image,
        known=known,
        digest=digest or known.digest_wanted,
        limit=limit,
        within=within(scene.facts, limit),
        stopped=stopped(scene.facts, limit),
        look=look,
        openssl=openssl is not None and bool(openssl.path),
    )


def _file_refusals(stand: _Stand) -> list[Refusal]:
    image, original = stand.image, stand.known.original
    if image.remote:
        authority = image.source.split("/", 3)[2]
        if "@" in authority:
            reason = "its URL holds a user or password, which each user of this host could read"
            hint = "fetch the file yourself, and name the local file"
            return [Refusal(subject=stand.subject, reason=reason, hint=hint)]
    elif original is None:
        reason = f"there is no file {image.source}"
        hint = "correct the path, or put the file there"
        return [Refusal(subject=stand.subject, reason=reason, hint=hint)]
    if original is not None and original.kind != "file":
        reason = f"{original.path} is no regular file but a {original.kind}"
        hint = "name the image file itself"
        return [Refusal(subject=stand.subject, reason=reason, hint=hint)]
    return []


def _work(stand: _Stand, room: str) -> ImageWork:
    """Return the work on an image; `room` is what its files are brought on the assumption of."""
    image, known = stand.image, stand.known
    steps: list[Step] = []
    assumes = ""
    if isinstance(image.check, ChecksumList) and not (stand.digest or known.digest_problem):
        steps.append(list_step(image, image.check))
        assumes = f"the checksum list names image {image.name}"
    if image.remote and known.original is None:
        steps.append(_fetch_step(stand, assumes or room))
        assumes = assumes or room or f"the download of image {image.name} arrives"
    if known.original is not None and image.check is not None and not known.verified:
        steps.append(_verify_step(stand, known.original, assumes))
    if image.packing is not Packing.NONE and known.usable is None:
        steps.append(_unpack_step(stand, known.original, assumes or room))
        assumes = assumes or room or f"image {image.name} unpacks to {image.format}"
    contents = known.contents
    if contents is None and stand.look:
        steps.append(_look_step(stand, known.usable, assumes))
        assumes = f"image {image.name} has cloud-init with its usual data sources"
    usable = known.usable
    source = ImageSource(
        image=image,
        path=usable.path if usable is not None else _later_path(stand),
        fingerprint=usable.fingerprint if usable is not None else None,
        virtual_size=known.header.virtual_size if known.header is not None else None,
        contents=contents or ASSUMED,
        assumes=assumes,
    )
    return ImageWork(steps=tuple(steps), source=source)


def _later_path(stand: _Stand) -> str:
    original, image = stand.known.original, stand.image
    if image.packing is not Packing.NONE and original is not None:
        return unpacked_path(image, original.fingerprint)
    return fetched_path(image) if image.remote else image.source


def _fetch_step(stand: _Stand, assumes: str) -> Step:
    image = stand.image
    target = fetched_path(image)
    part = part_path(target)
    most = stand.within
    fetch = bring(image.source, part, f"the image, at most {most}", most.bytes)
    stopped = replace(fetch, meanings=(*fetch.meanings, stand.stopped))
    actions: list[Action] = [image_dir(), stopped]
    if stand.digest:
        # Before it gets its name: a bad download is not there, and is fetched again.
        actions.extend(_checks(stand, part))
    actions.extend(complete(part, target))
    return Step(
        noun=Noun.IMAGES,
        subject=stand.subject,
        what=f"fetch {image.source}",
        why="new guests are made from it",
        actions=tuple(actions),
        finally_=(remove((part,), _NO_REST),),
        assumes=assumes,
    )


def _checks(stand: _Stand, path: str, *, ours: bool = False) -> tuple[Command, ...]:
    """Compare a file with its checksum; one of `ours` is removed where it has another one.

    A list and its image may be of two moments, and nobody knows which is the older one: where they
    differ, the list goes as well.
    """
    image, fast = stand.image, stand.openssl
    listed = isinstance(image.check, ChecksumList)
    drops = (*((path,) if ours else ()), *((list_path(image),) if listed else ()))
    if listed:
        again = "the list and the image" if image.remote else "the list"
        otherwise = f"It is not the file of the checksum list. The next run fetches {again} anew."
    elif image.remote:
        otherwise = (
            "It is not the file of the checksum in the spec. The next run fetches it anew; where"
            " its maker has published another one since, write the checksum of that."
        )
    else:
        otherwise = "Put the right file there, or correct the checksum in the spec."
    if not drops:
        return (check(stand.digest, path, otherwise, fast=fast),)
    return check_or_drop(stand.digest, path, found_path(image), drops, otherwise, fast=fast)


def _verify_step(stand: _Stand, original: ImageFile, assumes: str) -> Step:
    actions: tuple[Action, ...] = ()
    if stand.digest:
        memo = verified_path(original.fingerprint, stand.digest)
        actions = (
            *_checks(stand, original.path, ours=stand.image.remote),
            same_file(original.path, original.fingerprint),
            WriteFile(
                path=memo,
                content=verified_memo(stand.digest),
                why="remember that this very file was right",
            ),
        )
    return Step(
        noun=Noun.IMAGES,
        subject=stand.subject,
        what=f"check the checksum of {original.path}",
        why="no guest starts from a file that is not what its maker published",
        probe=same_file(original.path, original.fingerprint),
        actions=actions,
        assumes=assumes,
    )


def _unpack_step(stand: _Stand, original: ImageFile | None, assumes: str) -> Step:
    actions: tuple[Action, ...] = ()
    finally_: tuple[Command, ...] = ()
    probe = None
    if original is not None:
        # With holes, a file takes less than its size, and the kernel's limit is one of the size.
        holes = stand.image.packing is Packing.ZSTD and stand.image.format is Format.RAW
        most = stand.limit if holes else stand.within
        probe = same_file(original.path, original.fingerprint)
        target = unpacked_path(stand.image, original.fingerprint)
        part = part_path(target)
        actions = (
            image_dir(),
            # Its room was counted as free, and what is unpacked to stdout is written beside it.
            remove((part,), _NO_REST),
            replace(
                unpack(stand.image.packing, original.path, part, most),
                meanings=(outgrown(stand.limit) if holes else stand.stopped,),
            ),
            same_file(original.path, original.fingerprint),
            *complete(part, target),
        )
        finally_ = (remove((part,), _NO_REST),)
    return Step(
        noun=Noun.IMAGES,
        subject=stand.subject,
        what=f"unpack it ({stand.image.packing})",
        why=f"the copy to an LV reads it as {stand.image.format}",
        probe=probe,
        actions=actions,
        finally_=finally_,
        assumes=assumes,
    )


def _look_step(stand: _Stand, usable: ImageFile | None, assumes: str) -> Step:
    actions: tuple[Action, ...] = ()
    probe = None
    if usable is not None:
        probe = same_file(usable.path, usable.fingerprint)
        image_format = stand.image.format
        actions = (
            Command(
                argv=("install", "--directory", "--mode=0700", "--", IMAGE_DIR, LOOK_DIR),
                why="make the directory for what is found",
            ),
            Command(
                argv=look_argv(usable.path, image_format),
                why="read its cloud-init configuration and boot files in a small virtual machine",
                stdin=first_look_script(image_format),
                stdout_to=look_path(usable.fingerprint),
                timeout=600.0,
            ),
        )
    return Step(
        noun=Noun.IMAGES,
        subject=stand.subject,
        what="look into it",
        why="which seed a guest understands, and its firmware, depend on what the image holds",
        probe=probe,
        actions=actions,
        assumes=assumes,
    )
