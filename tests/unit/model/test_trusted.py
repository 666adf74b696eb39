"""What root takes as it is, beside the spec itself."""

from __future__ import annotations

from msgspec.structs import replace

from kvmkeep.model.spec import ChecksumList
from tests.unit.planning.build import IMAGE, spec


def test_template_kept_definitions_and_keyrings_are_trusted() -> None:
    lists = [
        ChecksumList(source="https://x/SUMS", signature="inline", keyring=ring)
        for ring in ("/srv/keys/rocky.gpg", "", "/srv/keys/rocky.gpg")
    ]
    images = tuple(replace(IMAGE, check=one) for one in (*lists, None))
    site = replace(spec(images=images), template_file="/srv/t.xml", xml_dir="/root/kvm")
    assert site.trusted == ("/srv/t.xml", "/root/kvm", "/srv/keys/rocky.gpg")
    assert replace(site, template_file="", xml_dir="", images=()).trusted == ()
