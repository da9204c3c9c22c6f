/* Hashes of normalised lines: what `stages.ccnet_text` does in Python, without a Python object for
 * each line. The rules of normalisation are not here: they come in as a table of code points.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "_character_map.h"

/* SHA-1 (FIPS 180-4, section 6.1) of bytes that come one at a time. */
typedef struct {
    uint32_t state[5];
    uint64_t length;
    unsigned char block[64];
} Sha1;

static uint32_t rotated(uint32_t x, int n) { return (x << n) | (x >> (32 - n)); }

static void compress_plainly(uint32_t *state, const unsigned char *block)
{
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    int t;
    for (t = 0; t < 16; t++) {
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16
             | (uint32_t)block[4 * t + 2] << 8 | (uint32_t)block[4 * t + 3];
    }
    for (; t < 80; t++) {
        w[t] = rotated(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
#define ROUNDS(first, last, f, k)                                      \
    for (t = first; t < last; t++) {                                   \
        uint32_t next = rotated(a, 5) + (f) + e + (k) + w[t];          \
        e = d; d = c; c = rotated(b, 30); b = a; a = next;             \
    }
    ROUNDS(0, 20, d ^ (b & (c ^ d)), 0x5a827999u)
    ROUNDS(20, 40, b ^ c ^ d, 0x6ed9eba1u)
    ROUNDS(40, 60, (b & c) | (d & (b | c)), 0x8f1bbcdcu)
    ROUNDS(60, 80, b ^ c ^ d, 0xca62c1d6u)
#undef ROUNDS
    state[0] += a; state[1] += b; state[2] += c; state[3] += d; state[4] += e;
}

static void (*compress)(uint32_t *state, const unsigned char *block) = compress_plainly;

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

/* By the processor's own instructions: four rounds each, eight times as fast. */
__attribute__((target("sha,sse4.1"))) static void compress_natively(
    uint32_t *state, const unsigned char *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i w[20], start, abcd, before, e;
    int t;
    for (t = 0; t < 4; t++) {
        w[t] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + t), big_endian);
    }
    for (; t < 20; t++) {
        w[t] = _mm_xor_si128(_mm_sha1msg1_epu32(w[t - 4], w[t - 3]), w[t - 2]);
        w[t] = _mm_sha1msg2_epu32(w[t], w[t - 1]);
    }
    start = abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0x1b);
    e = _mm_add_epi32(_mm_set_epi32((int)state[4], 0, 0, 0), w[0]);
    before = abcd;
    abcd = _mm_sha1rnds4_epu32(abcd, e, 0);
#define ROUNDS(first, last, kind)                                      \
    for (t = first; t < last; t++) {                                   \
        e = _mm_sha1nexte_epu32(before, w[t]);                         \
        before = abcd;                                                 \
        abcd = _mm_sha1rnds4_epu32(abcd, e, kind);                     \
    }
    ROUNDS(1, 5, 0)
    ROUNDS(5, 10, 1)
    ROUNDS(10, 15, 2)
    ROUNDS(15, 20, 3)
#undef ROUNDS
    e = _mm_sha1nexte_epu32(before, _mm_set_epi32((int)state[4], 0, 0, 0));
    state[4] = (uint32_t)_mm_extract_epi32(e, 3);
    abcd = _mm_shuffle_epi32(_mm_add_epi32(abcd, start), 0x1b);
    _mm_storeu_si128((__m128i *)state, abcd);
}

static void choose_instructions(void)
{
    unsigned a, b, c, d;
    /* SHA; SSE4.1 and SSSE3 come with it on every processor, but are asked for all the same. */
    int sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
    if (sha && __get_cpuid(1, &a, &b, &c, &d) && (c >> 19 & 1) && (c >> 9 & 1)) {
        compress = compress_natively;
    }
}
#else
static void choose_instructions(void) {}
#endif

static void begin(Sha1 *sha)
{
    static const uint32_t start[5] = {
        0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u
    };
    memcpy(sha->state, start, sizeof start);
    sha->length = 0;
}

static inline void put(Sha1 *sha, unsigned char byte)
{
    sha->block[sha->length++ & 63] = byte;
    if ((sha->length & 63) == 0) {
        compress(sha->state, sha->block);
    }
}

/* UTF-8; a lone surrogate as its three-byte form. */
static inline void put_code(Sha1 *sha, uint32_t code)
{
    if (code < 0x80) {
        put(sha, (unsigned char)code);
        return;
    }
    if (code < 0x800) {
        put(sha, (unsigned char)(0xc0 | code >> 6));
    } else {
        if (code < 0x10000) {
            put(sha, (unsigned char)(0xe0 | code >> 12));
        } else {
            put(sha, (unsigned char)(0xf0 | code >> 18));
            put(sha, (unsigned char)(0x80 | (code >> 12 & 0x3f)));
        }
        put(sha, (unsigned char)(0x80 | (code >> 6 & 0x3f)));
    }
    put(sha, (unsigned char)(0x80 | (code & 0x3f)));
}

/* The first 64 bits of the digest as they lie in it, in `out`. */
static void finish(Sha1 *sha, unsigned char *out)
{
    uint64_t bits = sha->length * 8;
    size_t used = sha->length & 63;
    int i;
    sha->block[used++] = 0x80;
    if (used > 56) {
        memset(sha->block + used, 0, 64 - used);
        compress(sha->state, sha->block);
        used = 0;
    }
    memset(sha->block + used, 0, 56 - used);
    for (i = 0; i < 8; i++) {
        sha->block[56 + i] = (unsigned char)(bits >> (56 - 8 * i));
    }
    compress(sha->state, sha->block);
    for (i = 0; i < 8; i++) {
        out[i] = (unsigned char)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

/* Puts an expansion; 0 where it is none, or lies outside the pool. */
static int put_expansion(Sha1 *sha, const Map *map, size_t number)
{
    uint32_t at, stop;
    if (!expansion(map, number, &at, &stop)) {
        return 0;
    }
    for (; at < stop; at++) {
        put_code(sha, map->pool[at] & 0x1fffff);
    }
    return 1;
}

enum { HASHED, NEEDS_CONTEXT, UNSOUND };

/* Hashes the line text[start:end], if each of its characters has a meaning without the others. */
static int hash_line(
    const Map *map, int kind, const void *text, Py_ssize_t start, Py_ssize_t end, unsigned char *out)
{
    Sha1 sha;
    Py_ssize_t i;
    while (start < end && Py_UNICODE_ISSPACE(PyUnicode_READ(kind, text, start))) {
        start++;
    }
    while (end > start && Py_UNICODE_ISSPACE(PyUnicode_READ(kind, text, end - 1))) {
        end--;
    }
    begin(&sha);
    for (i = start; i < end; i++) {
        uint32_t value = map->table[PyUnicode_READ(kind, text, i)];
        if (value < CODE_POINTS) {
            put_code(&sha, value);
        } else if (value >= CONTEXTUAL) {
            return NEEDS_CONTEXT;
        } else if (value >= EXPANDED && !put_expansion(&sha, map, value - EXPANDED)) {
            return UNSOUND;
        }
    }
    finish(&sha, out);
    return HASHED;
}

static Py_ssize_t next_newline(int kind, const void *text, Py_ssize_t at, Py_ssize_t length)
{
    if (kind == PyUnicode_1BYTE_KIND) {
        const char *found = memchr((const char *)text + at, '\n', (size_t)(length - at));
        return found ? found - (const char *)text : length;
    }
    while (at < length && PyUnicode_READ(kind, text, at) != '\n') {
        at++;
    }
    return at;
}

/* The hash of a line by the Python function `slow`, little-endian in `out`; -1 on an error. */
static int hash_slowly(
    PyObject *slow, PyObject *text, Py_ssize_t start, Py_ssize_t end, unsigned char *out)
{
    PyObject *line = PyUnicode_Substring(text, start, end);
    PyObject *number = line ? PyObject_CallOneArg(slow, line) : NULL;
    unsigned long long hash = number ? PyLong_AsUnsignedLongLong(number) : 0;
    int i;
    Py_XDECREF(line);
    Py_XDECREF(number);
    if (PyErr_Occurred()) {
        return -1;
    }
    for (i = 0; i < 8; i++) {
        out[i] = (unsigned char)(hash >> 8 * i);
    }
    return 0;
}

PyDoc_STRVAR(hash_texts_doc,
"hash_texts(texts, table, starts, pool, slow) -> bytes\n\n"
"Eight bytes for each line of each text. `table`, `starts`, `pool`: uint32 arrays; `slow` hashes a\n"
"line with a character that depends on its neighbours.");

static PyObject *hash_texts(PyObject *Py_UNUSED(self), PyObject *args)
{
    PyObject *texts, *slow, *result = NULL;
    Py_buffer table, starts, pool;
    Py_ssize_t n, i, lines = 0;
    unsigned char *out;
    Map map;
    if (!PyArg_ParseTuple(args, "O!y*y*y*O", &PyList_Type, &texts, &table, &starts, &pool, &slow)) {
        return NULL;
    }
    if (!read_map(&map, &table, &starts, &pool)) {
        goto done;
    }
    n = PyList_GET_SIZE(texts);
    for (i = 0; i < n; i++) {
        PyObject *text = PyList_GET_ITEM(texts, i);
        Py_ssize_t at = -1, length;
        if (!PyUnicode_Check(text)) {
            PyErr_SetString(PyExc_TypeError, "texts must be strings");
            goto done;
        }
        length = PyUnicode_GET_LENGTH(text);
        while (at < length) {
            at = next_newline(PyUnicode_KIND(text), PyUnicode_DATA(text), at + 1, length);
            lines++;
        }
    }
    result = PyBytes_FromStringAndSize(NULL, 8 * lines);
    if (result == NULL) {
        goto done;
    }
    out = (unsigned char *)PyBytes_AS_STRING(result);
    for (i = 0; i < n; i++) {
        PyObject *text = PyList_GET_ITEM(texts, i);
        int kind = PyUnicode_KIND(text);
        const void *data = PyUnicode_DATA(text);
        Py_ssize_t length = PyUnicode_GET_LENGTH(text), start = 0, end;
        for (;; start = end + 1) {
            int how;
            end = next_newline(kind, data, start, length);
            how = hash_line(&map, kind, data, start, end, out);
            if (how == UNSOUND) {
                raise_unsound();
            }
            if (how == UNSOUND
                || (how == NEEDS_CONTEXT && hash_slowly(slow, text, start, end, out) < 0)) {
                Py_CLEAR(result);
                goto done;
            }
            out += 8;
            if (end >= length) {
                break;
            }
        }
    }
done:
    PyBuffer_Release(&table);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&pool);
    return result;
}

static PyMethodDef methods[] = {
    {"hash_texts", hash_texts, METH_VARARGS, hash_texts_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_line_hashes", "Hashes of normalised lines.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__line_hashes(void)
{
    choose_instructions();
    return PyModule_Create(&module);
}
