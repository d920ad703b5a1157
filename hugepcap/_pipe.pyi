from typing_extensions import disjoint_base

@disjoint_base
class Pipe:
    def __init__(self, *args: object, **kwargs: object) -> None: ...
