from typing_extensions import disjoint_base

L2_OFFSET_MAX: int
HTTP_PORTS: tuple[int, ...]
TLS_PORTS: tuple[int, ...]
CLASSES: dict[int, int]
SECURITY_CLASS_BASE: int

@disjoint_base
class Classifier: ...
