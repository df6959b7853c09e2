/* Kernels that exist once for each element type. Included by kernels.c with
     REAL         the type of activations in memory,
     LOAD, STORE  from and to float, in which all arithmetic is done,
     NAME(f)      the function's name for that type.
   Rows are shared among threads; no result depends on how many there are. */

/* y = x / sqrt(mean(x^2) + eps) * weight for each row; the factor of each row is kept. */
void NAME(rms_norm)(const REAL *x, const float *weight, REAL *y, float *factor, i64 rows, i64 width,
                    float eps) {
#pragma omp parallel for schedule(static) if (rows * width > SMALL)
    for (i64 i = 0; i < rows; i++) {
        const REAL *from = x + i * width;
        REAL *to = y + i * width;
        float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
        for (i64 j = 0; j < width; j++) sum += LOAD(from[j]) * LOAD(from[j]);
        const float scale = 1.0f / sqrtf(sum / (float)width + eps);
        factor[i] = scale;
#pragma omp simd
        for (i64 j = 0; j < width; j++) to[j] = STORE(LOAD(from[j]) * scale * weight[j]);
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
            REAL *to = dx + i * width;
            const float scale = factor[i];
            float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
            for (i64 j = 0; j < width; j++) {
                const float product = LOAD(up[j]) * LOAD(row[j]) * scale;
                sum[j] += product;
                dot += product * weight[j];
            }
            const float mean = dot * scale / (float)width;
#pragma omp simd
            for (i64 j = 0; j < width; j++)
                to[j] = STORE(scale * (LOAD(up[j]) * weight[j] - LOAD(row[j]) * mean));
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
#pragma omp simd
            for (i64 j = 0; j < half; j++) {
                const float a = LOAD(low[j]), b = LOAD(high[j]);
                to[j] = STORE(a * LOAD(c[j]) + direction * b * LOAD(s[j]));
                to[half + j] = STORE(b * LOAD(c[half + j]) + direction * a * LOAD(s[half + j]));
            }
        }
    }
}

void NAME(gated_silu)(const REAL *gate, const REAL *up, REAL *y, i64 size) {
#pragma omp parallel for simd schedule(static) if (parallel : size > SMALL)
    for (i64 i = 0; i < size; i++) {
        const float x = LOAD(gate[i]);
        y[i] = STORE(x / (1.0f + fast_exp(-x)) * LOAD(up[i]));
    }
}

void NAME(gated_silu_backward)(const REAL *gate, const REAL *up, const REAL *g, REAL *dgate,
                               REAL *dup, i64 size) {
#pragma omp parallel for simd schedule(static) if (parallel : size > SMALL)
    for (i64 i = 0; i < size; i++) {
        const float x = LOAD(gate[i]), upstream = LOAD(g[i]);
        const float sigmoid = 1.0f / (1.0f + fast_exp(-x));
        dgate[i] = STORE(upstream * LOAD(up[i]) * sigmoid * (1.0f + x * (1.0f - sigmoid)));
        dup[i] = STORE(upstream * x * sigmoid);
    }
}

void NAME(squared_relu)(const REAL *x, REAL *y, i64 size) {
#pragma omp parallel for simd schedule(static) if (parallel : size > SMALL)
    for (i64 i = 0; i < size; i++) {
        /* not fmaxf: NaN must stay NaN, so that a step gone wrong is seen */
        const float value = LOAD(x[i]), positive = value < 0.0f ? 0.0f : value;
        y[i] = STORE(positive * positive);
    }
}

void NAME(squared_relu_backward)(const REAL *x, const REAL *g, REAL *dx, i64 size) {
#pragma omp parallel for simd schedule(static) if (parallel : size > SMALL)
    for (i64 i = 0; i < size; i++) {
        const float value = LOAD(x[i]), positive = value < 0.0f ? 0.0f : value;
        dx[i] = STORE(2.0f * positive * LOAD(g[i]));
    }
}
