# SPDX-License-Identifier: BSD-3-Clause
"""Batches for Arrow: the PyCapsule interface, so that pyarrow, Polars and DuckDB take them without a copy.

A batch is a struct array: ``ts`` timestamp[ns, UTC], ``caplen``, ``len``, ``vlan_tci``, ``vlan_tpid``, ``rxhash``,
``status``, ``direction``, and ``data``, a binary view into the memory the packets came in. A consumer that asks
for binary or large_binary gets a copy of the packets. Source: the Arrow PyCapsule interface's specification.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.exc cimport PyErr_SetInterrupt
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EINTR, EIO
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset, strcmp

from ._batch cimport Batch
from ._hp cimport HP_LIVE_ARRAYS, hp_columns, hp_live

from .errors import PcapError

cdef extern from "hp_arrow.h" nogil:
    struct ArrowSchema:
        const char *format
        const char *name
        int64_t flags
        int64_t n_children
        ArrowSchema **children
        void (*release)(ArrowSchema *) noexcept
        void *private_data

    struct ArrowArray:
        int64_t length
        int64_t null_count
        int64_t offset
        int64_t n_buffers
        int64_t n_children
        const void **buffers
        ArrowArray **children
        void (*release)(ArrowArray *) noexcept
        void *private_data

    struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream *, ArrowSchema *) noexcept
        int (*get_next)(ArrowArrayStream *, ArrowArray *) noexcept
        const char *(*get_last_error)(ArrowArrayStream *) noexcept
        void (*release)(ArrowArrayStream *) noexcept
        void *private_data

    struct hp_view:
        pass

    struct hp_span:
        uint64_t start
        uint64_t bytes

    int hp_views_fill(const hp_columns *, hp_view *, hp_span *, int)

cdef enum:
    FIELDS = 9
    DATA = 8            # the field of the packets' bytes
    SPANS_MAX = 128     # a ring has at most 128 GiB

# The layouts of `data`: what a consumer may ask for.
cdef enum:
    VIEW
    BINARY
    LARGE_BINARY

cdef const char *NAMES[FIELDS]
cdef const char *FORMATS[FIELDS]
cdef const char *DATA_FORMATS[3]
NAMES[:] = ["ts", "caplen", "len", "vlan_tci", "vlan_tpid", "rxhash", "status", "direction", "data"]
FORMATS[:] = ["tsn:UTC", "I", "I", "S", "S", "I", "I", "C", "vz"]
DATA_FORMATS[:] = ["vz", "z", "Z"]


# ---- schemas ----

cdef void release_schema(ArrowSchema *schema) noexcept with gil:
    cdef int64_t i
    for i in range(schema.n_children):
        if schema.children[i].release != NULL:
            schema.children[i].release(schema.children[i])
        free(schema.children[i])
    free(schema.children)
    schema.release = NULL


cdef int fill_schema(ArrowSchema *schema, int layout) except -1:
    """The schema of a batch; names and formats are literals, which nobody has to free."""
    cdef ArrowSchema *child
    cdef int i
    schema.format = "+s"
    schema.name = ""
    schema.release = release_schema
    schema.children = <ArrowSchema **>calloc(FIELDS, sizeof(ArrowSchema *))
    if schema.children == NULL:
        raise MemoryError("no memory for an Arrow schema")
    for i in range(FIELDS):
        child = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
        if child == NULL:
            raise MemoryError("no memory for an Arrow schema")
        child.name = NAMES[i]
        child.format = FORMATS[i] if i != DATA else DATA_FORMATS[layout]
        child.release = release_schema
        schema.children[i] = child
        schema.n_children = i + 1
    return 0


cdef void free_schema_capsule(object capsule) noexcept:
    cdef ArrowSchema *schema = <ArrowSchema *>PyCapsule_GetPointer(capsule, "arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    free(schema)


cdef object schema_capsule(int layout):
    cdef ArrowSchema *schema = <ArrowSchema *>calloc(1, sizeof(ArrowSchema))
    if schema == NULL:
        raise MemoryError("no memory for an Arrow schema")
    capsule = PyCapsule_New(schema, "arrow_schema", free_schema_capsule)
    fill_schema(schema, layout)
    return capsule


cdef int layout_asked_for(object requested) except -1:
    """The layout of `data` in a requested schema; views where it is silent."""
    cdef ArrowSchema *schema
    cdef int64_t i
    cdef int layout
    if requested is None:
        return VIEW
    schema = <ArrowSchema *>PyCapsule_GetPointer(requested, "arrow_schema")
    for i in range(schema.n_children):
        # the specification lets a name be NULL
        if schema.children[i].name != NULL and strcmp(schema.children[i].name, NAMES[DATA]) == 0:
            for layout in range(VIEW, LARGE_BINARY + 1):
                if strcmp(schema.children[i].format, DATA_FORMATS[layout]) == 0:
                    return layout
    return VIEW


# ---- arrays ----

cdef struct held:
    PyObject *keepers[2]    # what owns the buffers
    void *memory            # a buffer of our own


cdef void release_array(ArrowArray *array) noexcept with gil:
    cdef held *kept = <held *>array.private_data
    cdef int64_t i
    for i in range(array.n_children):
        if array.children[i] != NULL:
            if array.children[i].release != NULL:
                array.children[i].release(array.children[i])
            free(array.children[i])
    free(array.children)
    free(array.buffers)
    if kept != NULL:
        hp_live(HP_LIVE_ARRAYS, -1)
        for i in range(2):
            if kept.keepers[i] != NULL:
                Py_DECREF(<object>kept.keepers[i])
        free(kept.memory)
        free(kept)
    array.release = NULL


cdef held *start_array(ArrowArray *array, int64_t length, int64_t buffers, object keeper, object other) except NULL:
    """An array of so many rows and buffers (the first, of validity, stays NULL: no row is null)."""
    cdef held *kept = <held *>calloc(1, sizeof(held))
    if kept == NULL:
        raise MemoryError("no memory for an Arrow array")
    array.length = length
    array.release = release_array
    array.private_data = kept
    hp_live(HP_LIVE_ARRAYS, 1)
    for i, each in enumerate((keeper, other)):
        if each is not None:
            Py_INCREF(each)
            kept.keepers[i] = <PyObject *>each
    array.buffers = <const void **>calloc(buffers, sizeof(void *))
    if array.buffers == NULL:
        raise MemoryError("no memory for an Arrow array")
    array.n_buffers = buffers
    return kept


cdef int fill_views(ArrowArray *array, Batch batch) except -1:
    """`data` where the packets are: views, the spans they point into, and those spans' sizes."""
    cdef hp_span spans[SPANS_MAX]
    cdef uint32_t nr = batch.columns.nr
    cdef size_t views_bytes = 16 * <size_t>max(nr, 1)
    cdef int64_t *sizes
    cdef held *kept
    cdef int spans_nr, i
    cdef void *memory = malloc(views_bytes + SPANS_MAX * sizeof(int64_t))
    if memory == NULL:
        raise MemoryError(f"no memory for views of {nr} packets")
    with nogil:
        spans_nr = hp_views_fill(&batch.columns, <hp_view *>memory, spans, SPANS_MAX)
    if spans_nr < 0:
        free(memory)
        raise PcapError(f"the {nr} packets of a batch lie too far apart for Arrow's binary views")
    kept = start_array(array, nr, 3 + spans_nr, batch.memory, None)
    kept.memory = memory
    sizes = <int64_t *>(<uint8_t *>memory + views_bytes)
    array.buffers[1] = memory
    for i in range(spans_nr):
        array.buffers[2 + i] = batch.columns.base + spans[i].start
        sizes[i] = spans[i].bytes
    array.buffers[2 + spans_nr] = sizes
    return 0


cdef int fill_binary(ArrowArray *array, Batch batch, int layout) except -1:
    """`data` as a copy: offsets of 32 or 64 bits, then the bytes."""
    cdef uint32_t nr = batch.columns.nr
    cdef size_t width = 4 if layout == BINARY else 8
    cdef uint64_t total = 0
    cdef uint8_t *to
    cdef uint32_t i
    cdef held *kept
    for i in range(nr):
        total += batch.columns.caplen[i]
    if layout == BINARY and total > 0x7fffffff:
        raise PcapError(f"{total} bytes of packets do not fit into Arrow's binary: ask for large_binary, or smaller "
                        "batches")
    kept = start_array(array, nr, 3, None, None)
    kept.memory = malloc(width * (nr + 1) + total + 1)
    if kept.memory == NULL:
        raise MemoryError(f"no memory for a copy of {total} bytes of packets")
    to = <uint8_t *>kept.memory + width * (nr + 1)
    array.buffers[1] = kept.memory
    array.buffers[2] = to
    total = 0
    for i in range(nr + 1):
        if layout == BINARY:
            (<int32_t *>kept.memory)[i] = <int32_t>total
        else:
            (<int64_t *>kept.memory)[i] = total
        if i < nr:
            memcpy(to + total, batch.columns.base + batch.columns.offset[i], batch.columns.caplen[i])
            total += batch.columns.caplen[i]
    return 0


cdef int fill_array(ArrowArray *array, Batch batch, int layout) except -1:
    """A batch as a struct array. On an exception, array.release frees what there is."""
    cdef const void *columns[DATA]
    cdef int i
    batch = batch.whole()
    columns[:] = [
        batch.columns.ts_ns, batch.columns.caplen, batch.columns.len, batch.columns.vlan_tci,
        batch.columns.vlan_tpid, batch.columns.rxhash, batch.columns.status, batch.columns.direction]
    start_array(array, batch.columns.nr, 1, None, None)
    array.children = <ArrowArray **>calloc(FIELDS, sizeof(ArrowArray *))
    if array.children == NULL:
        raise MemoryError("no memory for an Arrow array")
    array.n_children = FIELDS
    for i in range(FIELDS):
        array.children[i] = <ArrowArray *>calloc(1, sizeof(ArrowArray))
        if array.children[i] == NULL:
            raise MemoryError("no memory for an Arrow array")
    for i in range(DATA):
        start_array(array.children[i], batch.columns.nr, 2, batch.store, None)
        array.children[i].buffers[1] = columns[i]
    if layout == VIEW:
        return fill_views(array.children[DATA], batch)
    return fill_binary(array.children[DATA], batch, layout)


cdef void free_array_capsule(object capsule) noexcept:
    cdef ArrowArray *array = <ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    if array.release != NULL:
        array.release(array)
    free(array)


def array_capsules(Batch batch not None, requested=None) -> tuple:
    """What __arrow_c_array__ returns: a capsule of the schema and one of the array."""
    cdef int layout = layout_asked_for(requested)
    cdef ArrowArray *array = <ArrowArray *>calloc(1, sizeof(ArrowArray))
    if array == NULL:
        raise MemoryError("no memory for an Arrow array")
    capsule = PyCapsule_New(array, "arrow_array", free_array_capsule)
    fill_array(array, batch, layout)
    return schema_capsule(layout), capsule


# ---- streams ----

cdef class Stream:
    """What a stream's callbacks work on."""
    cdef object batches
    cdef int layout
    cdef bytes error


cdef int stream_failed(Stream stream, object error) noexcept:
    try:
        told = f"{type(error).__name__}: {error}"
    except Exception:    # of the error's own class
        told = type(error).__name__
    stream.error = told.encode("utf-8", "backslashreplace")    # the names of files may have surrogates
    if isinstance(error, KeyboardInterrupt):
        PyErr_SetInterrupt()    # the consumer makes an error of its own of it: once more, for when that is back in Python
        return EINTR
    return EIO


cdef int get_schema(ArrowArrayStream *raw, ArrowSchema *schema) noexcept with gil:
    cdef Stream stream = <Stream>raw.private_data
    memset(schema, 0, sizeof(schema[0]))
    try:
        fill_schema(schema, stream.layout)
    except BaseException as error:
        return stream_failed(stream, error)
    return 0


cdef int get_next(ArrowArrayStream *raw, ArrowArray *array) noexcept with gil:
    cdef Stream stream = <Stream>raw.private_data
    memset(array, 0, sizeof(array[0]))
    try:
        batch = next(stream.batches, None)
        if batch is not None:
            fill_array(array, batch, stream.layout)
    except BaseException as error:
        if array.release != NULL:
            array.release(array)
        return stream_failed(stream, error)
    return 0


cdef const char *get_last_error(ArrowArrayStream *raw) noexcept with gil:
    cdef Stream stream = <Stream>raw.private_data
    if stream.error is None:
        return NULL
    return PyBytes_AS_STRING(stream.error)


cdef void release_stream(ArrowArrayStream *raw) noexcept with gil:
    Py_DECREF(<object>raw.private_data)
    raw.release = NULL


cdef void free_stream_capsule(object capsule) noexcept:
    cdef ArrowArrayStream *raw = <ArrowArrayStream *>PyCapsule_GetPointer(capsule, "arrow_array_stream")
    if raw.release != NULL:
        raw.release(raw)
    free(raw)


def stream_capsule(batches, requested=None):
    """What __arrow_c_stream__ returns, over an iterator of Batches."""
    cdef Stream stream = Stream.__new__(Stream)
    cdef ArrowArrayStream *raw
    stream.batches = batches
    stream.layout = layout_asked_for(requested)
    raw = <ArrowArrayStream *>calloc(1, sizeof(ArrowArrayStream))
    if raw == NULL:
        raise MemoryError("no memory for an Arrow stream")
    raw.get_schema = get_schema
    raw.get_next = get_next
    raw.get_last_error = get_last_error
    raw.release = release_stream
    Py_INCREF(stream)
    raw.private_data = <void *>stream
    return PyCapsule_New(raw, "arrow_array_stream", free_stream_capsule)
