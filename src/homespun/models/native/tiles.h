/* Matrix products that stay in cache, for one element type. Included by kernels.c with
     REAL, NAME      as in elementwise.h,
     UNIT            how many neighbouring elements of a sum one 32-bit word holds,
     WORD(x, y)      a word of elements, the second of which is 0 or absent with UNIT 1,
     DOT(s, x, y)    s + x y for lanes of words, summed over the elements of a word.
   Left operands are read where they are, a word at a time for all lanes; right operands are made by
   `transposed` or `stacked`: panels of [words of depth][TILE_COLUMNS]. */

/* rows x TILE_COLUMNS numbers of c = a b (+ plus); word k of row i of a is a[i * across + k * along].
   Each number is one sum in order of k, whatever the tiles. */
static inline __attribute__((always_inline)) void NAME(tile)(const int rows, i64 words,
                                                             const word *a, i64 across, i64 along,
                                                             const word *b, float *c, i64 stride,
                                                             const float *plus) {
    lanes sum[TILE_ROWS][2];
    for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = (lanes){0};
    for (i64 k = 0; k < words; k++) {
        const lanes low = *(const lanes_anywhere *)(b + k * TILE_COLUMNS);
        const lanes high = *(const lanes_anywhere *)(b + k * TILE_COLUMNS + LANES);
        for (int i = 0; i < rows; i++) {
            const lanes x = (lanes)((whole_lanes){0} + (int32_t)a[i * across + k * along]);
            sum[i][0] = DOT(sum[i][0], x, low);
            sum[i][1] = DOT(sum[i][1], x, high);
        }
    }
    for (int i = 0; i < rows; i++)
        for (int half = 0; half < 2; half++) {
            const i64 at = i * stride + half * LANES;
            if (plus) sum[i][half] += *(const lanes_anywhere *)(plus + at);
            *(lanes_anywhere *)(c + at) = sum[i][half];
        }
}

/* The same for any number of rows, for which `across` or `along` is known to be 1. */
static inline __attribute__((always_inline)) void NAME(tiles)(i64 rows, i64 words, const word *a,
                                                              i64 across, i64 along, const word *b,
                                                              float *c, i64 stride,
                                                              const float *plus) {
    while (rows > 0) {
        const int now = rows >= TILE_ROWS ? TILE_ROWS : rows >= 4 ? 4 : rows >= 2 ? 2 : 1;
        if (now == TILE_ROWS)
            NAME(tile)(TILE_ROWS, words, a, across, along, b, c, stride, plus);
        else if (now == 4)
            NAME(tile)(4, words, a, across, along, b, c, stride, plus);
        else if (now == 2)
            NAME(tile)(2, words, a, across, along, b, c, stride, plus);
        else
            NAME(tile)(1, words, a, across, along, b, c, stride, plus);
        a += now * across;
        c += now * stride;
        if (plus) plus += now * stride;
        rows -= now;
    }
}

static __attribute__((noinline)) void NAME(tiles_by_rows)(i64 rows, i64 words, const word *a,
                                                          i64 across, const word *b, float *c,
                                                          i64 stride, const float *plus) {
    NAME(tiles)(rows, words, a, across, 1, b, c, stride, plus);
}

static __attribute__((noinline)) void NAME(tiles_by_columns)(i64 rows, i64 words, const word *a,
                                                             i64 along, const word *b, float *c,
                                                             i64 stride, const float *plus) {
    NAME(tiles)(rows, words, a, 1, along, b, c, stride, plus);
}

/* Columns of a right operand from `to` on: words of `width / UNIT` from `rows` rows of x. */
static inline __attribute__((always_inline)) void NAME(transpose)(const REAL *x, i64 stride,
                                                                  const i64 rows, i64 width,
                                                                  word *to) {
    for (i64 k = 0; k < width / UNIT; k++)
        for (i64 j = 0; j < rows; j++)
            memcpy(to + k * TILE_COLUMNS + j, x + j * stride + k * UNIT, sizeof *to);
}

/* A right operand of depth `width`: the rows of x become columns. */
static void NAME(transposed)(const REAL *x, i64 stride, i64 rows, i64 width, word *to) {
    const i64 size = width / UNIT * TILE_COLUMNS;
    for (; rows >= TILE_COLUMNS; rows -= TILE_COLUMNS, x += TILE_COLUMNS * stride, to += size)
        NAME(transpose)(x, stride, TILE_COLUMNS, width, to);
    if (rows == 0) return;
    memset(to, 0, sizeof *to * (size_t)size);
    NAME(transpose)(x, stride, rows, width, to);
}

static inline __attribute__((always_inline)) void NAME(stack)(const REAL *x, i64 stride, i64 rows,
                                                              const i64 width, word *to) {
    for (i64 k = 0; k < rows; k += UNIT, to += TILE_COLUMNS) {
        const int is_pair = UNIT > 1 && k + 1 < rows;
        const REAL *row = x + k * stride, *next = is_pair ? row + stride : row; /* none behind the last */
        if (UNIT == 1 || is_pair)
            for (i64 j = 0; j < width; j++) to[j] = WORD(row[j], next[j]);
        else
            for (i64 j = 0; j < width; j++) to[j] = WORD(row[j], (REAL){0});
    }
}

/* A right operand of depth `rows`: columns stay columns. */
static void NAME(stacked)(const REAL *x, i64 stride, i64 rows, i64 width, word *to) {
    const i64 size = (rows + UNIT - 1) / UNIT * TILE_COLUMNS;
    for (; width >= TILE_COLUMNS; width -= TILE_COLUMNS, x += TILE_COLUMNS, to += size)
        NAME(stack)(x, stride, rows, TILE_COLUMNS, to);
    if (width == 0) return;
    memset(to, 0, sizeof *to * (size_t)size);
    NAME(stack)(x, stride, rows, width, to);
}
