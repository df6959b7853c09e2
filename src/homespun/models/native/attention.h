/* Causal attention, forward and backward, for one element type; included by kernels.c after tiles.h.
   One head at a time, `block` queries at a time: scores, softmax and products stay in cache. */

enum { NAME(PAD) = 16 };  /* scores' rows are not a power of two apart: that would be one cache set */

/* Scores of `queries` queries from `start` on: s[i][j] = x_i y_j for keys j <= start + i at least. */
static void NAME(scores)(const REAL *x, i64 stride, const word *y, i64 start, i64 queries, i64 width,
                         float *s, i64 columns) {
    for (i64 j = 0; j < start + queries; j += TILE_COLUMNS, y += width / UNIT * TILE_COLUMNS) {
        const i64 first = j > start ? (j - start) / TILE_ROWS * TILE_ROWS : 0;
        NAME(tiles_by_rows)(queries - first, width / UNIT, (const word *)(x + first * stride),
                            stride / UNIT, y, s + first * columns + j, columns, NULL);
    }
}

/* to[i] = sum over keys j < start + i + 1 of s[i][j] y_j; s is 0 beyond. */
static void NAME(gathered)(const word *s, i64 across, const word *y, i64 depth, i64 start,
                           i64 queries, i64 padded, float *to) {
    for (i64 j = 0; j < padded; j += TILE_COLUMNS, y += depth * TILE_COLUMNS)
        for (i64 i = 0; i < queries; i += TILE_ROWS) {
            const i64 rows = queries - i < TILE_ROWS ? queries - i : TILE_ROWS;
            NAME(tiles_by_rows)(rows, (start + i + rows + UNIT - 1) / UNIT, s + i * across, across, y,
                                to + i * padded + j, padded, NULL);
        }
}

/* to[j] += sum over queries i >= j - start of s[i][j] y_i. */
static void NAME(scattered)(const word *s, i64 columns, const word *y, i64 start, i64 queries,
                            i64 padded, float *to) {
    const i64 depth = (queries + UNIT - 1) / UNIT;
    for (i64 j = 0; j < padded; j += TILE_COLUMNS, y += depth * TILE_COLUMNS)
        for (i64 key = 0; key < start + queries; key += TILE_ROWS) {
            const i64 rows = start + queries - key < TILE_ROWS ? start + queries - key : TILE_ROWS;
            const i64 first = key > start ? (key - start) / UNIT : 0;
            float *at = to + key * padded + j;
            NAME(tiles_by_columns)(rows, depth - first, s + first * columns + key, columns,
                                   y + first * TILE_COLUMNS, at, padded, at);
        }
}

/* Left operands of `gathered` and `scattered`, in `to` where elements are smaller than a word. Rows of
   scores are a multiple of LANES long. */
static const word *NAME(by_rows)(const float *s, i64 rows, i64 stop, i64 columns, word *to) {
    if (UNIT == 1) return (const word *)s;
    for (i64 i = 0; i < rows; i++)
        for (i64 j = 0; j < stop; j += LANES)
            NAME(store)((REAL *)(to + i * (columns / 2)) + j, load_float(s + i * columns + j));
    return to;
}

static const word *NAME(by_columns)(const float *s, i64 rows, i64 stop, i64 columns, word *to) {
    if (UNIT == 1) return (const word *)s;
    for (i64 i = 0; i < rows; i += 2) {
        const float *row = s + i * columns, *next = row + columns;
        for (i64 j = 0; j < stop; j += LANES) {
            const lanes second = i + 1 < rows ? load_float(next + j) : (lanes){0};
            const bits_lanes both = pairs(load_float(row + j), second);
            memcpy(to + i / 2 * columns + j, &both, sizeof both);
        }
    }
    return to;
}

static void NAME(stored)(const float *from, i64 rows, i64 width, i64 padded, REAL *to, i64 stride) {
    for (i64 i = 0; i < rows; i++)
        for (i64 j = 0; j < width; j += LANES)
            NAME(put)(to + i * stride + j, load_float(from + i * padded + j), width - j);
}

/* out = softmax(scale q k^T + bias) v, no query seeing a later key; lse keeps log sum exp. */
void NAME(attention)(const attention_shape *a, const REAL *q, const REAL *k, const REAL *v, REAL *out,
                     float *lse) {
    const i64 group = a->heads / a->kv_heads, tokens = a->tokens, width = a->width;
    const i64 padded = whole_tiles(width), columns = whole_tiles(tokens) + NAME(PAD);
    const i64 depth = (tokens + UNIT - 1) / UNIT;
#pragma omp parallel if (a->batch * a->heads * tokens * tokens * width > FEW_PRODUCTS)
    {
        word *keys = scratch(whole_tiles(tokens) * width), *values = scratch(depth * padded);
        word *weights = scratch(a->block * columns / UNIT);
        float *s = (float *)scratch(a->block * columns), *o = (float *)scratch(a->block * padded);
        float *inverse = (float *)scratch(a->block);
#pragma omp for schedule(dynamic, 1)
        for (i64 task = 0; task < a->batch * a->heads; task++) {
            const i64 b = task / a->heads, h = task % a->heads, g = h / group;
            NAME(transposed)(AT(k, a->k, b, g, 0), a->k.token, tokens, width, keys);
            NAME(stacked)(AT(v, a->v, b, g, 0), a->v.token, tokens, width, values);
            for (i64 start = 0; start < tokens; start += a->block) {
                const i64 queries = start + a->block < tokens ? a->block : tokens - start;
                const i64 stop = start + queries;
                float *log_sums = lse + task * tokens + start;
                NAME(scores)(AT(q, a->q, b, h, start), a->q.token, keys, start, queries, width, s,
                             columns);
                for (i64 i = 0; i < queries; i++) {
                    float *row = s + i * columns;
                    const i64 seen = start + i + 1, whole = whole_registers(seen);
                    const float scale = biased(a, b, start + i, row);
                    for (i64 j = seen; j < whole; j++) row[j] = -INFINITY;
                    lanes most = load_float(row), sums = {0};
                    for (i64 j = LANES; j < whole; j += LANES) most = greater(most, load_float(row + j));
                    const float top = greatest_of(most) * scale;
                    for (i64 j = 0; j < whole; j += LANES) {
                        const lanes e = exp_of(load_float(row + j) * scale - top);
                        store_float(row + j, e);
                        sums += e;
                    }
                    const float sum = sum_of(sums);
                    for (i64 j = whole; j <= stop; j++) row[j] = 0.0f;
                    log_sums[i] = top + logf(sum);
                    inverse[i] = 1.0f / sum;
                }
                NAME(gathered)(NAME(by_rows)(s, queries, stop, columns, weights), columns / UNIT,
                               values, depth, start, queries, padded, o);
                for (i64 i = 0; i < queries; i++)
                    for (i64 j = 0; j < padded; j += LANES)
                        store_float(o + i * padded + j, load_float(o + i * padded + j) * inverse[i]);
                NAME(stored)(o, queries, width, padded, AT(out, a->out, b, h, start), a->out.token);
            }
        }
        free(keys), free(values), free(weights), free(s), free(o), free(inverse);
    }
}

/* The weights w are made again from lse. dv = w^T g, dw = g v^T, ds = w (dw - sum(g out)) scale,
   dq = ds k, dk = ds^T q; query heads that share keys and values are one task. */
void NAME(attention_backward)(const attention_shape *a, const REAL *q, const REAL *k, const REAL *v,
                              const REAL *out, const float *lse, const REAL *dout, REAL *dq, REAL *dk,
                              REAL *dv) {
    const i64 group = a->heads / a->kv_heads, tokens = a->tokens, width = a->width;
    const i64 padded = whole_tiles(width), columns = whole_tiles(tokens) + NAME(PAD);
    const i64 depth = (tokens + UNIT - 1) / UNIT, part = (a->block + UNIT - 1) / UNIT;
#pragma omp parallel if (a->batch * a->heads * tokens * tokens * width > FEW_PRODUCTS)
    {
        word *keys_T = scratch(whole_tiles(tokens) * width), *keys = scratch(depth * padded);
        word *values_T = scratch(whole_tiles(tokens) * width);
        word *qs = scratch(part * padded), *gs = scratch(part * padded);
        word *by_rows = scratch(a->block * columns / UNIT), *by_columns = scratch(part * columns);
        float *w = (float *)scratch(a->block * columns), *dw = (float *)scratch(a->block * columns);
        float *dqs = (float *)scratch(a->block * padded);
        float *dks = (float *)scratch(tokens * padded), *dvs = (float *)scratch(tokens * padded);
#pragma omp for schedule(dynamic, 1)
        for (i64 task = 0; task < a->batch * a->kv_heads; task++) {
            const i64 b = task / a->kv_heads, g = task % a->kv_heads;
            NAME(transposed)(AT(k, a->k, b, g, 0), a->k.token, tokens, width, keys_T);
            NAME(transposed)(AT(v, a->v, b, g, 0), a->v.token, tokens, width, values_T);
            NAME(stacked)(AT(k, a->k, b, g, 0), a->k.token, tokens, width, keys);
            memset(dks, 0, sizeof(float) * (size_t)(tokens * padded));
            memset(dvs, 0, sizeof(float) * (size_t)(tokens * padded));
            for (i64 h = g * group; h < (g + 1) * group; h++)
            for (i64 start = 0; start < tokens; start += a->block) {
                const i64 queries = start + a->block < tokens ? a->block : tokens - start;
                const i64 stop = start + queries;
                const REAL *qh = AT(q, a->q, b, h, start), *oh = AT(out, a->out, b, h, start);
                const REAL *gh = AT(dout, a->dout, b, h, start);
                const float *log_sums = lse + (b * a->heads + h) * tokens + start;
                NAME(scores)(qh, a->q.token, keys_T, start, queries, width, w, columns);
                NAME(scores)(gh, a->dout.token, values_T, start, queries, width, dw, columns);
                for (i64 i = 0; i < queries; i++) {
                    const i64 seen = start + i + 1, whole = whole_registers(seen);
                    float *row = w + i * columns, *drow = dw + i * columns;
                    const REAL *grow = gh + i * a->dout.token, *orow = oh + i * a->out.token;
                    lanes dots = {0};
                    for (i64 j = 0; j < width; j += LANES)
                        dots += NAME(take)(grow + j, width - j) * NAME(take)(orow + j, width - j);
                    const float dot = sum_of(dots);
                    const float scale = biased(a, b, start + i, row), shift = log_sums[i];
                    for (i64 j = seen; j < whole; j++) row[j] = -INFINITY, drow[j] = 0.0f;
                    for (i64 j = 0; j < whole; j += LANES) {
                        const lanes e = exp_of(load_float(row + j) * scale - shift);
                        store_float(row + j, e);
                        store_float(drow + j, e * (load_float(drow + j) - dot) * a->scale);
                    }
                    for (i64 j = whole; j <= stop; j++) row[j] = 0.0f;
                    for (i64 j = whole; j <= stop; j++) drow[j] = 0.0f;
                }
                NAME(stacked)(gh, a->dout.token, queries, width, gs);
                NAME(stacked)(qh, a->q.token, queries, width, qs);
                NAME(scattered)(NAME(by_columns)(w, queries, stop, columns, by_columns), columns, gs,
                                start, queries, padded, dvs);
                NAME(scattered)(NAME(by_columns)(dw, queries, stop, columns, by_columns), columns, qs,
                                start, queries, padded, dks);
                NAME(gathered)(NAME(by_rows)(dw, queries, stop, columns, by_rows), columns / UNIT,
                               keys, depth, start, queries, padded, dqs);
                NAME(stored)(dqs, queries, width, padded, AT(dq, a->dq, b, h, start), a->dq.token);
            }
            NAME(stored)(dks, tokens, width, padded, AT(dk, a->dk, b, g, 0), a->dk.token);
            NAME(stored)(dvs, tokens, width, padded, AT(dv, a->dv, b, g, 0), a->dv.token);
        }
        free(keys_T), free(keys), free(values_T), free(qs), free(gs), free(by_rows), free(by_columns);
        free(w), free(dw), free(dqs), free(dks), free(dvs);
    }
}
