"""What kvmkeep uses of PyYAML, and nothing else."""

__with_libyaml__: bool

class Mark:
    line: int
    column: int

class MarkedYAMLError(Exception):
    problem: str
    problem_mark: Mark
    context_mark: Mark | None

class Event:
    start_mark: Mark

class NodeEvent(Event):
    anchor: str | None

class AliasEvent(NodeEvent): ...

class ScalarEvent(NodeEvent):
    tag: str | None
    implicit: tuple[bool, bool]
    value: str

class CollectionStartEvent(NodeEvent):
    tag: str | None

class SequenceStartEvent(CollectionStartEvent): ...
class MappingStartEvent(CollectionStartEvent): ...
class CollectionEndEvent(Event): ...

class DocumentStartEvent(Event):
    version: tuple[int, int] | None
    tags: dict[str, str] | None

class CSafeLoader:
    def __init__(self, stream: str) -> None: ...
    def get_event(self) -> Event | None: ...
