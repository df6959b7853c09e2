/* Rows of log probabilities of an n-gram table. */
#include "log.h"

enum { MOST_ORDERS = 64 };

/* n-grams of an order, sorted by history: those of history h are starts[h] .. starts[h + 1] - 1. Mass
   and backoff have a row for each table. */
typedef struct {
    const i64 *histories; /* of each row, -1 where it was never seen */
    const i64 *starts;
    const int32_t *words;
    const float *mass, *backoff;
    i64 num_grams, num_histories;
} table_order;

/* log x of normal numbers; of 0 it is -infinity. */
static inline float fast_log(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const int32_t power = (bits - 0x3f3504f3) >> 23; /* x = m 2^power, m from sqrt(1/2) to sqrt(2) */
    bits -= (int32_t)((uint32_t)power << 23);
    float m;
    memcpy(&m, &bits, sizeof m);
    const float f = m - 1.0f, n = (float)power;
    return x > 0.0f ? LOG_OF_PARTS(f, n) : -INFINITY;
}

/* out[i][v] = log p of word v < kept after row i's histories, by table number tables[i]: every order
   adds its mass to what is left of the shorter ones. */
void table_rows(const table_order *orders, i64 num_orders, const float *unigram, const i64 *tables,
                float *out, i64 rows, i64 words, i64 kept, i64 stride) {
#pragma omp parallel if (rows * words > SMALL)
    {
        float *p = (float *)scratch(words);
#pragma omp for schedule(static)
        for (i64 i = 0; i < rows; i++) {
            float left[MOST_ORDERS + 1]; /* of an order's mass, once the longer ones took theirs */
            left[num_orders] = 1.0f;
            for (i64 k = num_orders - 1; k >= 0; k--) {
                const table_order *order = orders + k;
                const i64 history = order->histories[i];
                left[k] = left[k + 1];
                if (history >= 0)
                    left[k] *= order->backoff[tables[i] * order->num_histories + history];
            }
            const float *base = unigram + tables[i] * words, share = left[0];
#pragma omp simd
            for (i64 v = 0; v < words; v++) p[v] = base[v] * share;
            for (i64 k = 0; k < num_orders; k++) {
                const table_order *order = orders + k;
                const i64 history = order->histories[i];
                if (history < 0) continue;
                const float *mass = order->mass + tables[i] * order->num_grams;
                for (i64 e = order->starts[history]; e < order->starts[history + 1]; e++)
                    p[order->words[e]] += mass[e] * left[k + 1];
            }
#pragma omp simd
            for (i64 v = 0; v < kept; v++) out[i * stride + v] = fast_log(p[v]);
        }
        free(p);
    }
}
