/* A text by a table of its characters, with each run of spaces as one: what `stages.held_out` does
 * in Python, without a string for each line. The rules are not here: they come in as a table of
 * code points.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#include "_character_map.h"

/* UTF-8 that grows. */
typedef struct {
    unsigned char *bytes;
    size_t used, room;
} Out;

enum { MAPPED, NEEDS_CONTEXT, UNSOUND, NO_MEMORY };

static int grow(Out *out)
{
    size_t room = out->room + out->room / 2 + 64;
    unsigned char *bytes = PyMem_Realloc(out->bytes, room);
    if (bytes == NULL) {
        return 0;
    }
    out->bytes = bytes;
    out->room = room;
    return 1;
}

/* No space at the beginning, and none after another; a lone surrogate as its three-byte form. */
static inline int put(Out *out, uint32_t code)
{
    unsigned char *at;
    if (out->room - out->used < 4 && !grow(out)) {
        return 0;
    }
    at = out->bytes + out->used;
    if (code < 0x80) {
        if (code != ' ' || (out->used > 0 && at[-1] != ' ')) {
            *at = (unsigned char)code;
            out->used++;
        }
    } else if (code < 0x800) {
        at[0] = (unsigned char)(0xc0 | code >> 6);
        at[1] = (unsigned char)(0x80 | (code & 0x3f));
        out->used += 2;
    } else if (code < 0x10000) {
        at[0] = (unsigned char)(0xe0 | code >> 12);
        at[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        at[2] = (unsigned char)(0x80 | (code & 0x3f));
        out->used += 3;
    } else {
        at[0] = (unsigned char)(0xf0 | code >> 18);
        at[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
        at[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
        at[3] = (unsigned char)(0x80 | (code & 0x3f));
        out->used += 4;
    }
    return 1;
}

/* What stands for a character that is not one character. */
static int put_more(Out *out, const Map *map, uint32_t value)
{
    uint32_t at, stop;
    if (value >= CONTEXTUAL) {
        return NEEDS_CONTEXT;
    }
    if (value < EXPANDED) {
        return MAPPED; /* by nothing */
    }
    if (!expansion(map, value - EXPANDED, &at, &stop)) {
        return UNSOUND;
    }
    for (; at < stop; at++) {
        if (!put(out, map->pool[at] & 0x1fffff)) {
            return NO_MEMORY;
        }
    }
    return MAPPED;
}

#define PUT_ALL(type)                                                  \
    for (i = 0; i < length; i++) {                                     \
        uint32_t value = map->table[((const type *)data)[i]];          \
        if (value < CODE_POINTS) {                                     \
            if (!put(out, value)) {                                    \
                return NO_MEMORY;                                      \
            }                                                          \
        } else if ((how = put_more(out, map, value)) != MAPPED) {      \
            return how;                                                \
        }                                                              \
    }

static int put_text(Out *out, const Map *map, PyObject *text)
{
    const void *data = PyUnicode_DATA(text);
    Py_ssize_t i, length = PyUnicode_GET_LENGTH(text);
    int how;
    switch (PyUnicode_KIND(text)) {
    case PyUnicode_1BYTE_KIND:
        PUT_ALL(Py_UCS1)
        break;
    case PyUnicode_2BYTE_KIND:
        PUT_ALL(Py_UCS2)
        break;
    default:
        PUT_ALL(Py_UCS4)
    }
    if (out->used > 0 && out->bytes[out->used - 1] == ' ') {
        out->used--;
    }
    return MAPPED;
}

PyDoc_STRVAR(spaced_doc,
"spaced(text, table, starts, pool) -> bytes or None\n\n"
"The mapped text in UTF-8, its runs of spaces as one and none at either end; None where a character\n"
"depends on its neighbours. `table`, `starts`, `pool`: uint32 arrays.");

static PyObject *spaced(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *text, *result = NULL;
    Py_buffer table, starts, pool;
    Map map;
    Out out = {NULL, 0, 0};
    if (!PyArg_ParseTuple(args, "Uy*y*y*", &text, &table, &starts, &pool)) {
        return NULL;
    }
    if (!read_map(&map, &table, &starts, &pool)) {
        goto done;
    }
    out.room = (size_t)PyUnicode_GET_LENGTH(text) + 64;
    out.bytes = PyMem_Malloc(out.room);
    switch (out.bytes == NULL ? NO_MEMORY : put_text(&out, &map, text)) {
    case MAPPED:
        result = PyBytes_FromStringAndSize((const char *)out.bytes, (Py_ssize_t)out.used);
        break;
    case NEEDS_CONTEXT:
        result = Py_NewRef(Py_None);
        break;
    case UNSOUND:
        raise_unsound();
        break;
    default:
        PyErr_NoMemory();
    }
done:
    PyMem_Free(out.bytes);
    PyBuffer_Release(&table);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&pool);
    return result;
}

static PyMethodDef methods[] = {
    {"spaced", spaced, METH_VARARGS, spaced_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_mapped_text", "Texts by a table of characters.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__mapped_text(void)
{
    return PyModule_Create(&module);
}
