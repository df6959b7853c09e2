/* Large matrix products in float32, for processors on which the usual library leaves room; included
   by kernels.c after tiles.h, for floats. */

enum { DEPTH = 384 };    /* of a pass: panels of the right operand stay in first-level cache */
enum { TOGETHER = 16 };  /* tiles of rows that pass along all panels while in second-level cache */

/* Whether `product` is worth its while: it is made for 16 registers of 8 floats. */
#if defined(__AVX2__) && defined(__FMA__) && !defined(__AVX512F__)
int has_product(void) { return 1; }
#else
int has_product(void) { return 0; }
#endif

/* Element (i, k) is at [i * row + k * column]; one of the two is 1. */
typedef struct {
    const float *at;
    i64 row, column;
} matrix;

/* `rows` rows of a, whose columns are contiguous, as tiles of [depth][TILE_ROWS]. */
static void by_tiles(matrix a, i64 rows, i64 depth, word *to) {
    for (; rows >= TILE_ROWS; rows -= TILE_ROWS, a.at += TILE_ROWS, to += depth * TILE_ROWS)
        for (i64 k = 0; k < depth; k++)
            memcpy(to + k * TILE_ROWS, a.at + k * a.column, sizeof *to * TILE_ROWS);
    for (i64 k = 0; k < depth; k++)
        memcpy(to + k * TILE_ROWS, a.at + k * a.column, sizeof *to * (size_t)rows);
}

/* c = a b (+ plus), [rows, columns] with rows contiguous. Every number is summed in the same order
   however many threads there are. */
void product(const matrix *a, const matrix *b, const float *plus, float *c, i64 rows, i64 columns,
             i64 depth, i64 threads) {
    if (rows == 0 || columns == 0) return;
    const i64 passes = depth > DEPTH ? (depth + DEPTH - 1) / DEPTH : 1;
    const i64 longest = (depth + passes - 1) / passes, panels = whole_tiles(columns) / TILE_COLUMNS;
    const i64 tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const i64 blocks = ((tiles + TOGETHER - 1) / TOGETHER + threads - 1) / threads * threads;
    const i64 together = (tiles + blocks - 1) / blocks * TILE_ROWS;
    const int is_by_rows = a->column == 1;
    word *right = scratch(panels * longest * TILE_COLUMNS);
#pragma omp parallel if (rows * columns * depth > FEW_PRODUCTS)
    {
        /* rows a page apart would share one cache set: those are copied, too */
        word *left = is_by_rows && a->row % 1024 ? NULL : scratch(together * (longest + LANES));
        float edge[TILE_ROWS * TOGETHER * TILE_COLUMNS];
        for (i64 from = 0; from < depth; from += longest) {
            const i64 now = depth - from < longest ? depth - from : longest;
            const float *more = from ? c : plus;
#pragma omp for schedule(static)
            for (i64 p = 0; p < panels; p++) {
                const i64 j = p * TILE_COLUMNS, n = columns - j < TILE_COLUMNS ? columns - j : TILE_COLUMNS;
                const float *first = b->at + from * b->row + j * b->column;
                word *to = right + p * now * TILE_COLUMNS;
                if (b->column == 1)
                    stacked_float(first, b->row, now, n, to);
                else
                    transposed_float(first, b->column, n, now, to);
            }
#pragma omp for schedule(static)
            for (i64 block = 0; block < blocks; block++) {
                const i64 i = block * together, m = rows - i < together ? rows - i : together;
                matrix part = {a->at + i * a->row + from * a->column, a->row, a->column};
                if (m <= 0) continue;
                if (left && is_by_rows) {
                    for (i64 r = 0; r < m; r++)
                        memcpy(left + r * (now + LANES), part.at + r * part.row,
                               sizeof *left * (size_t)now);
                    part = (matrix){(const float *)left, now + LANES, 1};
                } else if (left) {
                    by_tiles(part, m, now, left);
                }
                for (i64 p = 0; p < panels; p++) {
                    const i64 j = p * TILE_COLUMNS, n = columns - j;
                    const int is_whole = n >= TILE_COLUMNS;
                    const word *panel = right + p * now * TILE_COLUMNS;
                    float *to = is_whole ? c + i * columns + j : edge;
                    const i64 stride = is_whole ? columns : TILE_COLUMNS;
                    const float *add = more ? more + i * columns + j : NULL;
                    if (!is_whole && more) {
                        for (i64 r = 0; r < m; r++)
                            memcpy(edge + r * stride, add + r * columns, sizeof *c * (size_t)n);
                        add = edge;
                    }
                    if (is_by_rows)
                        tiles_by_rows_float(m, now, (const word *)part.at, part.row, panel, to, stride, add);
                    else
                        for (i64 t = 0; t < m; t += TILE_ROWS)
                            tiles_by_columns_float(m - t < TILE_ROWS ? m - t : TILE_ROWS, now,
                                                   left + t * now, TILE_ROWS, panel, to + t * stride,
                                                   stride, add ? add + t * stride : NULL);
                    if (!is_whole)
                        for (i64 r = 0; r < m; r++)
                            memcpy(c + (i + r) * columns + j, edge + r * stride, sizeof *c * (size_t)n);
                }
            }
        }
        free(left);
    }
    free(right);
}
