/* Cross entropy, its gradient by the scores, in one visit of each row; included as elementwise.h is. */

/* nats[i] = log sum exp(z[i]) - z[i][target[i]], z = cap * tanh(scores / cap) where cap > 0, plus
   strength[i] * prior[i] where there is a prior (its rows `prior_stride` apart). With `gradient` the
   scores become d nats / d scores, and slopes[i] = d nats / d strength. */
void NAME(cross_entropy)(REAL *scores, const i64 *targets, const float *prior, const float *strength,
                         float *nats, float *slopes, i64 rows, i64 words, i64 prior_stride, float cap,
                         int gradient) {
#pragma omp parallel if (rows * words > SMALL)
    {
        float *z = (float *)scratch(words), *tanhs = cap > 0.0f ? (float *)scratch(words) : NULL;
#pragma omp for schedule(static)
        for (i64 i = 0; i < rows; i++) {
            REAL *row = scores + i * words;
            const float *known = prior ? prior + i * prior_stride : NULL;
            const float weight = prior ? strength[i] : 0.0f;
            const i64 target = targets[i];
            float top = -INFINITY, sum = 0.0f;
            if (tanhs) {
#pragma omp simd
                for (i64 j = 0; j < words; j++) {
                    tanhs[j] = 1.0f - 2.0f / (fast_exp(LOAD(row[j]) * (2.0f / cap)) + 1.0f);
                    z[j] = cap * tanhs[j];
                }
            } else {
#pragma omp simd
                for (i64 j = 0; j < words; j++) z[j] = LOAD(row[j]);
            }
            if (known) {
#pragma omp simd
                for (i64 j = 0; j < words; j++) z[j] += weight * known[j];
            }
#pragma omp simd reduction(max : top)
            for (i64 j = 0; j < words; j++) top = z[j] > top ? z[j] : top;
            const float score = z[target];
#pragma omp simd reduction(+ : sum)
            for (i64 j = 0; j < words; j++) {
                z[j] = fast_exp(z[j] - top);
                sum += z[j];
            }
            nats[i] = logf(sum) + top - score;
            if (!gradient) continue;
            const float inverse = 1.0f / sum;
#pragma omp simd
            for (i64 j = 0; j < words; j++) z[j] *= inverse;
            z[target] -= 1.0f; /* before p is rounded: next to 1, bf16 has steps of 1/256 */
            if (known) {
                float slope = 0.0f;
#pragma omp simd reduction(+ : slope)
                for (i64 j = 0; j < words; j++) slope += z[j] * known[j];
                slopes[i] = slope;
            }
            if (tanhs) {
#pragma omp simd
                for (i64 j = 0; j < words; j++) row[j] = STORE(z[j] * (1.0f - tanhs[j] * tanhs[j]));
            } else {
#pragma omp simd
                for (i64 j = 0; j < words; j++) row[j] = STORE(z[j]);
            }
        }
        free(z), free(tanhs);
    }
}
