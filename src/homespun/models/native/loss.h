/* Cross entropy, its gradient by the scores, in one visit of each row; included as elementwise.h is. */

/* nats[i] = log sum exp(z[i]) - z[i][target[i]], z = cap * tanh(scores / cap) where cap > 0, plus
   strength[i] * prior[i] where there is a prior (its rows `prior_stride` apart). With `gradient` the
   scores become d nats / d scores, and slopes[i] = d nats / d strength. */
void NAME(cross_entropy)(REAL *scores, const i64 *targets, const float *prior, const float *strength,
                         float *nats, float *slopes, i64 rows, i64 words, i64 prior_stride, float cap,
                         int gradient) {
#pragma omp parallel if (rows * words > SMALL)
    {
        const i64 whole = whole_registers(words);
        float *z = (float *)scratch(whole), *tanhs = cap > 0.0f ? (float *)scratch(whole) : NULL;
#pragma omp for schedule(static)
        for (i64 i = 0; i < rows; i++) {
            REAL *row = scores + i * words;
            const float *known = prior ? prior + i * prior_stride : NULL;
            const float weight = prior ? strength[i] : 0.0f;
            const i64 target = targets[i];
            lanes most = all(-INFINITY), sums = {0};
            BY_LANES(words, {
                lanes v = NAME(take)(row + j, num);
                if (tanhs) {
                    const lanes t = 1.0f - 2.0f * inverse_of(exp_of(v * (2.0f / cap)) + 1.0f);
                    store_float(tanhs + j, t);
                    v = cap * t;
                }
                if (known) v += weight * take_float(known + j, num);
                v = only(v, num, -INFINITY);
                store_float(z + j, v);
                most = greater(most, v);
            });
            const float top = greatest_of(most), score = z[target];
            for (i64 j = 0; j < whole; j += LANES) {
                const lanes e = exp_of(load_float(z + j) - top);
                store_float(z + j, e);
                sums += e;
            }
            const float sum = sum_of(sums);
            nats[i] = logf(sum) + top - score;
            if (!gradient) continue;
            const float inverse = 1.0f / sum;
            z[target] -= sum; /* before p is rounded: next to 1, bf16 has steps of 1/256 */
            lanes slope = {0};
            BY_LANES(words, {
                lanes p = load_float(z + j) * inverse;
                if (known) slope += p * take_float(known + j, num);
                if (tanhs) {
                    const lanes t = load_float(tanhs + j);
                    p *= 1.0f - t * t;
                }
                NAME(put)(row + j, p, num);
            });
            if (known) slopes[i] = sum_of(slope);
        }
        free(z), free(tanhs);
    }
}
