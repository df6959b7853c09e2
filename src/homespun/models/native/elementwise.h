/* Kernels that exist once for each element type. Included by kernels.c with
     REAL       the type of activations in memory; all arithmetic is done in float,
     NAME(f)    the function's name for that type.
   Rows are shared among threads; no result depends on how many there are. */

/* `num` numbers, at most LANES of them; zeros behind. */
INLINE lanes NAME(take)(const REAL *x, i64 num) {
    if (num >= LANES) return NAME(load)(x);
    REAL room[LANES] = {0};
    memcpy(room, x, sizeof *x * (size_t)num);
    return NAME(load)(room);
}
INLINE void NAME(put)(REAL *to, lanes x, i64 num) {
    if (num >= LANES) {
        NAME(store)(to, x);
        return;
    }
    REAL room[LANES];
    NAME(store)(room, x);
    memcpy(to, room, sizeof *to * (size_t)num);
}

/* y = x / sqrt(mean(x^2) + eps) * weight for each row; the factor of each row is kept. */
void NAME(rms_norm)(const REAL *x, const float *weight, REAL *y, float *factor, i64 rows, i64 width,
                    float eps) {
#pragma omp parallel for schedule(static) if (rows * width > SMALL)
    for (i64 i = 0; i < rows; i++) {
        const REAL *from = x + i * width;
        lanes squares = {0};
        BY_LANES(width, {
            const lanes v = NAME(take)(from + j, num);
            squares += v * v;
        });
        const float scale = 1.0f / sqrtf(sum_of(squares) / (float)width + eps);
        factor[i] = scale;
        BY_LANES(width, {
            const lanes w = take_float(weight + j, num);
            NAME(put)(y + i * width + j, NAME(take)(from + j, num) * scale * w, num);
        });
    }
}

/* With n = x * factor: dx = factor * (g w - n mean(n g w)); dweight = sum over rows of g n, first
   over each of PARTS shares of the rows (parts: PARTS x width, zero on entry), then over those. */
void NAME(rms_norm_backward)(const REAL *x, const float *weight, const float *factor, const REAL *g,
                             REAL *dx, float *parts, float *dweight, i64 rows, i64 width) {
#pragma omp parallel for schedule(static) if (rows * width > SMALL)
    for (i64 part = 0; part < PARTS; part++) {
        float *sum = parts + part * width;
        for (i64 i = rows * part / PARTS; i < rows * (part + 1) / PARTS; i++) {
            const REAL *row = x + i * width, *up = g + i * width;
            const float scale = factor[i];
            lanes dot = {0};
            BY_LANES(width, {
                const lanes product = NAME(take)(up + j, num) * NAME(take)(row + j, num) * scale;
                put_float(sum + j, take_float(sum + j, num) + product, num);
                dot += product * take_float(weight + j, num);
            });
            const float mean = sum_of(dot) * scale / (float)width;
            BY_LANES(width, {
                const lanes gw = NAME(take)(up + j, num) * take_float(weight + j, num);
                NAME(put)(dx + i * width + j, scale * (gw - NAME(take)(row + j, num) * mean), num);
            });
        }
    }
    for (i64 j = 0; j < width; j++) {
        float sum = 0.0f;
        for (i64 part = 0; part < PARTS; part++) sum += parts[part * width + j];
        dweight[j] = sum;
    }
}

/* Each half of a head turned against the other. Token i uses row i % period of the tables, which
   are `stride` apart; sine has the sign of its first half flipped. direction -1 turns back. */
void NAME(rotate)(const REAL *x, const REAL *cosine, const REAL *sine, REAL *y, i64 tokens,
                  i64 period, i64 stride, i64 heads, i64 width, float direction) {
    const i64 half = width / 2;
#pragma omp parallel for schedule(static) if (tokens * heads * width > SMALL)
    for (i64 i = 0; i < tokens; i++) {
        const REAL *c = cosine + i % period * stride, *s = sine + i % period * stride;
        for (i64 h = 0; h < heads; h++) {
            const REAL *low = x + (i * heads + h) * width, *high = low + half;
            REAL *to = y + (i * heads + h) * width;
            BY_LANES(half, {
                const lanes a = NAME(take)(low + j, num), b = NAME(take)(high + j, num);
                const lanes from_b = direction * b * NAME(take)(s + j, num);
                const lanes from_a = direction * a * NAME(take)(s + half + j, num);
                NAME(put)(to + j, a * NAME(take)(c + j, num) + from_b, num);
                NAME(put)(to + half + j, b * NAME(take)(c + half + j, num) + from_a, num);
            });
        }
    }
}

/* Numbers of a flat array that a thread takes at a time. */
#ifndef SHARE
#define SHARE 2048
#define EACH_SHARE(size) \
    _Pragma("omp parallel for schedule(static) if (size > SMALL)") \
    for (i64 at = 0; at < (size); at += SHARE)
#define IN_SHARE(size) ((size) - at < SHARE ? (size) - at : SHARE)
#endif

void NAME(gated_silu)(const REAL *gate, const REAL *up, REAL *y, i64 size) {
    EACH_SHARE(size) {
        const REAL *gates = gate + at, *ups = up + at;
        REAL *to = y + at;
        BY_LANES(IN_SHARE(size), {
            const lanes x = NAME(take)(gates + j, num);
            const lanes sigmoid = inverse_of(1.0f + exp_of(-x));
            NAME(put)(to + j, x * sigmoid * NAME(take)(ups + j, num), num);
        });
    }
}

void NAME(gated_silu_backward)(const REAL *gate, const REAL *up, const REAL *g, REAL *dgate,
                               REAL *dup, i64 size) {
    EACH_SHARE(size) {
        const REAL *gates = gate + at, *ups = up + at, *gs = g + at;
        REAL *to_gate = dgate + at, *to_up = dup + at;
        BY_LANES(IN_SHARE(size), {
            const lanes x = NAME(take)(gates + j, num), upstream = NAME(take)(gs + j, num);
            const lanes sigmoid = inverse_of(1.0f + exp_of(-x)), silu = x * sigmoid;
            const lanes slope = sigmoid + silu * (1.0f - sigmoid);
            NAME(put)(to_gate + j, upstream * NAME(take)(ups + j, num) * slope, num);
            NAME(put)(to_up + j, upstream * silu, num);
        });
    }
}

/* NaN must stay NaN, so that a step gone wrong is seen. */
void NAME(squared_relu)(const REAL *x, REAL *y, i64 size) {
    EACH_SHARE(size) {
        const REAL *from = x + at;
        REAL *to = y + at;
        BY_LANES(IN_SHARE(size), {
            const lanes positive = greater(all(0.0f), NAME(take)(from + j, num));
            NAME(put)(to + j, positive * positive, num);
        });
    }
}

void NAME(squared_relu_backward)(const REAL *x, const REAL *g, REAL *dx, i64 size) {
    EACH_SHARE(size) {
        const REAL *from = x + at, *gs = g + at;
        REAL *to = dx + at;
        BY_LANES(IN_SHARE(size), {
            const lanes positive = greater(all(0.0f), NAME(take)(from + j, num));
            NAME(put)(to + j, 2.0f * positive * NAME(take)(gs + j, num), num);
        });
    }
}
