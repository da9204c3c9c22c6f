/* A table of characters as stages/character_map.py makes it, for the pieces of C that read it. */
#ifndef CHARACTER_MAP_H
#define CHARACTER_MAP_H

#include <Python.h>
#include <stdint.h>

#define CODE_POINTS 0x110000u
#define DELETED CODE_POINTS
#define EXPANDED (CODE_POINTS + 1u)
#define CONTEXTUAL (1u << 30)

/* What stands for the characters: `table` by code point; expansion i of it is
 * pool[starts[i]] to pool[starts[i + 1]]. */
typedef struct {
    const uint32_t *table, *starts, *pool;
    size_t expansions, pooled;
} Map;

static void raise_unsound(void)
{
    PyErr_SetString(PyExc_ValueError, "no sound table of characters");
}

/* Reads buffers of uint32; 0, and an exception, where they are no such table. What is inside them
 * is not looked at. */
static int read_map(Map *map, const Py_buffer *table, const Py_buffer *starts, const Py_buffer *pool)
{
    if (table->len != CODE_POINTS * 4 || starts->len < 4) {
        raise_unsound();
        return 0;
    }
    map->table = table->buf;
    map->starts = starts->buf;
    map->pool = pool->buf;
    map->expansions = (size_t)starts->len / 4 - 1;
    map->pooled = (size_t)pool->len / 4;
    return 1;
}

/* Where expansion `number` lies in the pool; 0 where it is none, or lies outside. */
static inline int expansion(const Map *map, size_t number, uint32_t *start, uint32_t *stop)
{
    if (number >= map->expansions || map->starts[number + 1] > map->pooled
        || map->starts[number] > map->starts[number + 1]) {
        return 0;
    }
    *start = map->starts[number];
    *stop = map->starts[number + 1];
    return 1;
}

#endif
