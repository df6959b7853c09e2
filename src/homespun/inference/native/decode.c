/* A decoder's forward pass over blocks, from ids to scores, or on to the next tokens.

   Built by build.py, described to it by describe.py (the structs in layout.py mirror these), checked against
   models.Decoder by tests/unit/inference/test_inference_native.py. */
#include "attention.h"
#include "pool.h"
#include "sample.h"
#include "table.h"

typedef struct {
    Matrix qkv, out, up, down;
    const float *attention_norm, *mlp_norm, *query_norm, *key_norm; /* NULL: no weights */
    const float *value_gate, *head_gate, *value_table;              /* NULL: none */
    const float *attention_shift, *mlp_shift;                       /* of LayerNorm; NULL: none */
    const float *qkv_bias, *out_bias, *up_bias, *down_bias;         /* NULL: none */
    float residual, first, bigram;
    i64 window;          /* tokens that a query sees, its own included; 0: all */
    void *keys, *values; /* of all blocks, see attention.h */
} Layer;

enum { SQUARED_RELU, SWIGLU, GELU, GELU_TANH };

typedef struct {
    i64 num_layers, width, heads, kv_heads, head_width, mlp_width, vocab_size, context;
    i64 stride;     /* of rows of activations: a multiple of 32, at least any width */
    i64 activation, is_layer_norm, has_qk_norm, has_mix, has_embedding_norm, gate_channels, smear_channels, bigram_rows, has_first;
    i64 keeps_bf16; /* keys and values */
    float norm_eps, softcap, smear_factor;
    const float *embedding, *embedding_norm, *final_norm, *smear, *bigram_table, *cosines, *sines; /* NULL: none */
    const float *final_shift, *position_table;
    Matrix head;
    Layer *layers;
    const Table *table; /* NULL: none */
} Model;

typedef struct {
    i64 num_tokens, num_spans, num_scores;
    const int32_t *ids, *previous;                         /* of tokens; -1 where a row begins */
    const i64 *first, *count, *start;                      /* of spans: tokens of a row */
    const int32_t *const *blocks;                          /* of spans */
    const int32_t *const *known;                           /* of spans: ids before and in them, for a table */
    const i64 *num_before;                                 /* of spans: ids in `known` before them */
    const i64 *wanted;                                     /* tokens whose scores are wanted */
    float *scores, *hidden;                                /* [num_scores][vocab_size], [..][width] or NULL */
} Step;

typedef struct {
    float *x, *first, *bigram, *h, *qkv, *mixed, *up, *scores, *gathered;
    i64 qkv_stride, up_stride, scores_stride, score_rows_stride;
    Inputs in, in_mixed, in_up, in_head;
    float *attention; /* of each thread: queries, scores, outputs */
    i64 attention_size;
    i64 *position;     /* of tokens */
    float *table_room; /* [num_threads][vocab_size], where there is a table */
} Scratch;

typedef struct {
    const Model *model;
    const Step *step;
    Scratch *s;
    Pool *pool;
} Call;

static void rms_norm(const float *x, const float *w, float eps, i64 n, float *y) {
    v8 sums = all8(0.0f);
    i64 i = 0;
    for (; i + 8 <= n; i += 8) sums += load8(x + i) * load8(x + i);
    float total = sum8(sums);
    for (; i < n; i++) total += x[i] * x[i];
    const float factor = 1.0f / sqrtf(total / (float)n + eps);
    if (w) for (i = 0; i < n; i++) y[i] = x[i] * factor * w[i];
    else for (i = 0; i < n; i++) y[i] = x[i] * factor;
}
static void layer_norm(const float *x, const float *w, const float *shift, float eps, i64 n, float *y) {
    float mean = 0.0f, square = 0.0f;
    for (i64 i = 0; i < n; i++) mean += x[i];
    mean /= (float)n;
    for (i64 i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean);
    const float factor = 1.0f / sqrtf(square / (float)n + eps);
    for (i64 i = 0; i < n; i++) y[i] = (x[i] - mean) * factor * (w ? w[i] : 1.0f) + (shift ? shift[i] : 0.0f);
}
static void norm(const Model *m, const float *x, const float *w, const float *shift, float *y) {
    if (m->is_layer_norm) layer_norm(x, w, shift, m->norm_eps, m->width, y);
    else rms_norm(x, w, m->norm_eps, m->width, y);
}
static void add_bias(const float *bias, i64 n, float *x) {
    if (bias) for (i64 i = 0; i < n; i++) x[i] += bias[i];
}
static float gate(const float *x, const float *w, i64 channels) {
    float sum = 0.0f;
    for (i64 i = 0; i < channels; i++) sum += x[i] * w[i];
    return sigmoid1(sum);
}
static i64 bigram_row(const Model *m, int32_t id, int32_t previous) {
    if (previous < 0) return m->bigram_rows;
    const uint64_t pair = (uint64_t)previous * (uint64_t)m->vocab_size + (uint64_t)id;
    if (m->bigram_rows >= m->vocab_size * m->vocab_size) return (i64)pair;
    const uint64_t mask = 0xffffffffull, mixed = (((pair ^ (pair >> 16)) & mask) * 1640531527ull) & mask;
    return (i64)((mixed ^ (mixed >> 15)) % (uint64_t)m->bigram_rows);
}
static void embed(const Model *m, int32_t id, float *x) {
    const float *row = m->embedding + (i64)id * m->width;
    if (m->has_embedding_norm) rms_norm(row, m->embedding_norm, m->norm_eps, m->width, x);
    else memcpy(x, row, sizeof(float) * (size_t)m->width);
}
static void enter(const Model *m, const Step *step, Scratch *s, i64 t, float *room) {
    const i64 D = m->width;
    float *x = s->x + t * m->stride;
    memset(x, 0, sizeof(float) * (size_t)m->stride);
    embed(m, step->ids[t], x);
    if (m->smear && step->previous[t] >= 0) {
        embed(m, step->previous[t], room);
        const float share = gate(x, m->smear, m->smear_channels) * m->smear_factor;
        for (i64 i = 0; i < D; i++) x[i] += share * room[i];
    }
    if (m->position_table) add_bias(m->position_table + s->position[t] * D, D, x);
    if (m->has_first) memcpy(s->first + t * m->stride, x, sizeof(float) * (size_t)m->stride);
    if (m->bigram_table)
        memcpy(s->bigram + t * m->stride, m->bigram_table + bigram_row(m, step->ids[t], step->previous[t]) * D, sizeof(float) * (size_t)D);
}
static void mix(const Model *m, const Layer *layer, Scratch *s, i64 t) {
    float *x = s->x + t * m->stride;
    const float *first = s->first + t * m->stride, *bigram = s->bigram + t * m->stride;
    for (i64 i = 0; i < m->width; i++) x[i] *= layer->residual;
    if (m->has_first) for (i64 i = 0; i < m->width; i++) x[i] += layer->first * first[i];
    if (m->bigram_table) for (i64 i = 0; i < m->width; i++) x[i] += layer->bigram * bigram[i];
}
static void rotate(const Model *m, i64 position, float *x) {
    if (!m->cosines) return;
    const i64 K = m->head_width, half = K / 2;
    const float *c = m->cosines + position * K, *s = m->sines + position * K;
    for (i64 i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half];
        x[i] = a * c[i] + b * s[i];
        x[i + half] = b * c[i + half] + a * s[i + half];
    }
}
/* Keys and values of a token go to its row's block; queries stay, scaled. */
static void prepare_heads(const Model *m, const Layer *layer, Scratch *s, const Step *step, i64 t, const int32_t *blocks) {
    const i64 K = m->head_width, G = m->kv_heads, padded = (K + 15) / 16 * 16, position = s->position[t];
    const float *h = s->h + t * m->stride;
    float *q = s->qkv + t * s->qkv_stride, *k = q + m->heads * K, *v = k + G * K;
    const i64 block = blocks[position / BLOCK], place = position % BLOCK;
    const float scale = 1.0f / sqrtf((float)K);
    add_bias(layer->qkv_bias, (m->heads + 2 * G) * K, q);
    for (i64 i = 0; i < m->heads; i++) {
        if (m->has_qk_norm) rms_norm(q + i * K, layer->query_norm, m->norm_eps, K, q + i * K);
        rotate(m, position, q + i * K);
        for (i64 j = 0; j < K; j++) q[i * K + j] *= scale;
    }
    for (i64 g = 0; g < G; g++) {
        float *kg = k + g * K, *vg = v + g * K;
        if (m->has_qk_norm) rms_norm(kg, layer->key_norm, m->norm_eps, K, kg);
        rotate(m, position, kg);
        if (layer->value_table) {
            const float share = 2.0f * gate(h, layer->value_gate + g * m->gate_channels, m->gate_channels);
            const float *row = layer->value_table + ((i64)step->ids[t] * G + g) * K;
            for (i64 j = 0; j < K; j++) vg[j] += share * row[j];
        }
        const i64 key_at = (block * G + g) * K * BLOCK, value_at = (block * G + g) * padded * BLOCK;
        if (m->keeps_bf16) {
            uint16_t *keys = (uint16_t *)layer->keys + key_at, *values = (uint16_t *)layer->values + value_at;
            keys += place * 2, values += place / 2 * padded * 2 + place % 2;
            for (i64 at = 0; at < K; at += 16) { /* rounded side by side, since they are scattered one by one */
                uint16_t key[16], value[16];
                const i64 num = MIN(16, K - at);
                for (i64 j = 0; j < num; j++) key[j] = to_bf16(kg[at + j]), value[j] = to_bf16(vg[at + j]);
                for (i64 j = 0; j < num; j++) keys[(at + j) / 2 * PAIR + j % 2] = key[j], values[(at + j) * 2] = value[j];
            }
        } else {
            float *keys = (float *)layer->keys + key_at, *values = (float *)layer->values + value_at;
            for (i64 j = 0; j < K; j++) keys[j * BLOCK + place] = kg[j], values[place * padded + j] = vg[j];
        }
    }
}
/* A thread's share of the attention: rows, tiles of queries and heads in turn. */
static void gather_values(const Model *m, const Layer *layer, Scratch *s, const Step *step, int thread, int num_threads) {
    const i64 K = m->head_width, per = m->heads / m->kv_heads, tile = QUERIES / per > 0 ? QUERIES / per : 1;
    const Heads heads = {m->heads, m->kv_heads, K, (K + 15) / 16 * 16};
    float *own = s->attention + thread * s->attention_size;
    float *q = own, *mixed = own + QUERIES * K, *scores = mixed + QUERIES * heads.padded;
    i64 item = 0;
    for (i64 n = 0; n < step->num_spans; n++)
        for (i64 at = 0; at < step->count[n]; at += tile)
            for (i64 g = 0; g < m->kv_heads; g++)
                for (i64 head = 0; head < per; head += QUERIES) {
                    if (item++ % num_threads != thread) continue;
                    i64 num = 0, seen[QUERIES];
                    float *out[QUERIES];
                    for (i64 t = step->first[n] + at; t < step->first[n] + MIN(at + tile, step->count[n]); t++)
                        for (i64 j = head; j < MIN(head + QUERIES, per); j++) {
                            memcpy(q + num * K, s->qkv + t * s->qkv_stride + (g * per + j) * K, sizeof(float) * (size_t)K);
                            seen[num] = s->position[t] + 1;
                            out[num++] = s->mixed + t * s->in_mixed.stride + (g * per + j) * K;
                        }
                    (m->keeps_bf16 ? attend_pairs : attend)(&heads, num, q, layer->window, seen, out, layer->keys, layer->values, step->blocks[n], g, scores,
                                                          s->scores_stride, mixed);
                }
}
static void activate(const Model *m, const Layer *layer, Scratch *s, i64 t) {
    float *u = s->up + t * s->up_stride, *a = s->in_up.x + t * s->in_up.stride;
    const i64 F = m->mlp_width;
    i64 i = 0;
    add_bias(layer->up_bias, m->activation == SWIGLU ? 2 * F : F, u);
    if (m->activation == SWIGLU) {
        for (; i + 8 <= F; i += 8) store8(a + i, load8(u + i) * sigmoid8(load8(u + i)) * load8(u + F + i));
        for (; i < F; i++) a[i] = u[i] * sigmoid1(u[i]) * u[F + i];
    } else if (m->activation == GELU_TANH) { /* (1 + tanh(y)) / 2 = sigmoid(2y) */
        const float twice = 1.5957691216057308f, third = 0.044715f;
        for (; i + 8 <= F; i += 8) {
            const v8 x = load8(u + i);
            store8(a + i, x * sigmoid8(twice * (x + third * x * x * x)));
        }
        for (; i < F; i++) a[i] = u[i] * sigmoid1(twice * (u[i] + third * u[i] * u[i] * u[i]));
    } else if (m->activation == GELU)
        for (; i < F; i++) a[i] = 0.5f * u[i] * (1.0f + erff(u[i] * 0.70710678118654752f));
    else
        for (; i < F; i++) a[i] = u[i] <= 0.0f ? 0.0f : u[i] * u[i]; /* what is no number stays none */
}

INLINE int is_whole(const Matrix *w) { return w->kind == INT8 || w->kind == INT4; }
#define EACH(t, num) for (i64 t = (num) * thread / num_threads; t < (num) * (thread + 1) / num_threads; t++)

static void forward(const Model *m, const Step *step, Scratch *s, Pool *pool, int thread, int num_threads) {
    const i64 T = step->num_tokens;
    float *room = s->attention + thread * s->attention_size;
    for (i64 n = 0; n < step->num_spans; n++)
        for (i64 i = 0; i < step->count[n]; i++) s->position[step->first[n] + i] = step->start[n] + i; /* the same of all threads */
    EACH(t, T) enter(m, step, s, t, room);
    for (i64 l = 0; l < m->num_layers; l++) {
        const Layer *layer = m->layers + l;
        EACH(t, T) {
            if (l > 0) add_bias(layer[-1].down_bias, m->width, s->x + t * m->stride);
            if (m->has_mix) mix(m, layer, s, t);
            norm(m, s->x + t * m->stride, layer->attention_norm, layer->attention_shift, s->h + t * m->stride);
            round_inputs(&layer->qkv, &s->in, t);
        }
        barrier(pool, num_threads);
        multiply(&layer->qkv, &s->in, T, s->qkv, s->qkv_stride, 0, thread, num_threads);
        barrier(pool, num_threads);
        for (i64 n = 0; n < step->num_spans; n++)
            for (i64 t = step->first[n]; t < step->first[n] + step->count[n]; t++)
                if (t >= T * thread / num_threads && t < T * (thread + 1) / num_threads) prepare_heads(m, layer, s, step, t, step->blocks[n]);
        barrier(pool, num_threads);
        gather_values(m, layer, s, step, thread, num_threads);
        barrier(pool, num_threads);
        if (layer->head_gate || is_whole(&layer->out)) {
            EACH(t, T) {
                if (layer->head_gate)
                    for (i64 i = 0; i < m->heads; i++) {
                        const float share = 2.0f * gate(s->h + t * m->stride, layer->head_gate + i * m->gate_channels, m->gate_channels);
                        float *out = s->mixed + t * s->in_mixed.stride + i * m->head_width;
                        for (i64 j = 0; j < m->head_width; j++) out[j] *= share;
                    }
                round_inputs(&layer->out, &s->in_mixed, t);
            }
            barrier(pool, num_threads);
        }
        multiply(&layer->out, &s->in_mixed, T, s->x, m->stride, 1, thread, num_threads);
        barrier(pool, num_threads);
        EACH(t, T) {
            add_bias(layer->out_bias, m->width, s->x + t * m->stride);
            norm(m, s->x + t * m->stride, layer->mlp_norm, layer->mlp_shift, s->h + t * m->stride);
            round_inputs(&layer->up, &s->in, t);
        }
        barrier(pool, num_threads);
        multiply(&layer->up, &s->in, T, s->up, s->up_stride, 0, thread, num_threads);
        barrier(pool, num_threads);
        EACH(t, T) {
            activate(m, layer, s, t);
            round_inputs(&layer->down, &s->in_up, t);
        }
        barrier(pool, num_threads);
        multiply(&layer->down, &s->in_up, T, s->x, m->stride, 1, thread, num_threads);
        barrier(pool, num_threads);
    }
    const i64 R = step->num_scores;
    if (R == 0) return;
    EACH(r, R) {
        float *h = s->gathered + r * m->stride;
        memcpy(h, s->x + step->wanted[r] * m->stride, sizeof(float) * (size_t)m->width);
        add_bias(m->layers[m->num_layers - 1].down_bias, m->width, h);
        norm(m, h, m->final_norm, m->final_shift, h);
        if (step->hidden) memcpy(step->hidden + r * m->width, h, sizeof(float) * (size_t)m->width);
        round_inputs(&m->head, &s->in_head, r);
    }
    barrier(pool, num_threads);
    multiply(&m->head, &s->in_head, R, s->scores, s->score_rows_stride, 0, thread, num_threads);
    barrier(pool, num_threads);
    EACH(r, R) {
        float *scores = s->scores + r * s->score_rows_stride;
        if (m->softcap > 0.0f)
            for (i64 i = 0; i < m->vocab_size; i += 8) { /* rows are padded to 16 */
                /* tanh(y) = 2 sigmoid(2y) - 1 */
                const v8 y = load8(scores + i) / m->softcap;
                store8(scores + i, m->softcap * (2.0f * sigmoid8(2.0f * y) - 1.0f));
            }
        if (m->table) {
            const i64 t = step->wanted[r];
            i64 n = 0;
            while (t >= step->first[n] + step->count[n]) n++;
            add_table(m->table, step->known[n], step->num_before[n] + t - step->first[n] + 1, s->gathered + r * m->stride, m->width,
                      s->table_room + thread * m->vocab_size, scores);
        }
        if (step->scores) memcpy(step->scores + r * m->vocab_size, scores, sizeof(float) * (size_t)m->vocab_size);
    }
}

static void step_task(void *argument, int thread, int num_threads) {
    const Call *call = argument;
    forward(call->model, call->step, call->s, call->pool, thread, num_threads);
}
void decode_step(const Model *model, const Step *step, Scratch *s, Pool *pool, int num_threads) {
    Call call = {model, step, s, pool};
    run_task(pool, step_task, &call, num_threads);
}

/* Several tokens of every row, one after another, until `most` or until the row ends. */
typedef struct {
    i64 num_rows, most, num_words; /* words: tokens that may be chosen, the first ones */
    int32_t *ids, *previous;       /* [num_rows]; both are written */
    i64 *start;                    /* [num_rows]; written */
    const int32_t *const *blocks;
    int32_t *const *known; /* ids before the last, with room for `most` and one more; written */
    i64 *num_before;       /* of those; written */
    Chooser *choosers;
    const uint8_t *ends; /* [vocab_size]: tokens after which a row goes on no more */
    int32_t *chosen;     /* [num_rows][most]; -1: the scores are not finite, the row has ended */
    i64 *num_chosen;     /* [num_rows] */
    float *powers;       /* room: [num_threads][vocab_size] */
    int32_t *candidates;
    Report *reports; /* [num_rows][most], of rows that want them */
} Burst;
typedef struct {
    const Model *model;
    Scratch *s;
    Pool *pool;
    Burst *burst;
    Step step;
    i64 *row; /* of each of the step's tokens */
    int32_t *ids, *previous;
    i64 *ones, *places, *start, *num_before;
    const int32_t **blocks, **known;
} BurstCall;

static void gather_rows(BurstCall *call) {
    Burst *b = call->burst;
    i64 num = 0;
    for (i64 r = 0; r < b->num_rows; r++) {
        const i64 done = b->num_chosen[r];
        if (done == b->most || done == b->choosers[r].limit) continue;
        if (done > 0) {
            const int32_t last = b->chosen[r * b->most + done - 1];
            if (last < 0 || b->ends[last]) continue;
        }
        call->row[num] = r, call->ids[num] = b->ids[r], call->previous[num] = b->previous[r];
        call->start[num] = b->start[r], call->blocks[num] = b->blocks[r];
        call->known[num] = b->known[r], call->num_before[num] = b->num_before[r];
        call->ones[num] = 1, call->places[num] = num, num++;
    }
    call->step = (Step){num, num, num, call->ids, call->previous, call->places, call->ones, call->start, call->blocks,
                        call->known, call->num_before, call->places, NULL, NULL};
}
static void burst_task(void *argument, int thread, int num_threads) {
    BurstCall *call = argument;
    Burst *b = call->burst;
    while (call->step.num_tokens > 0) {
        forward(call->model, &call->step, call->s, call->pool, thread, num_threads);
        EACH(i, call->step.num_tokens) {
            const i64 r = call->row[i], vocab = call->model->vocab_size;
            Chooser *c = b->choosers + r;
            float *scores = call->s->scores + i * call->s->score_rows_stride, total = 0.0f;
            Report *told = c->num_top >= 0 ? b->reports + r * b->most + b->num_chosen[r] : NULL;
            if (told) total = report_likeliest(scores, b->num_words, c->num_top, told);
            const i64 token = choose(c, scores, b->num_words, b->candidates + thread * vocab, b->powers + thread * vocab);
            if (told && token >= 0) /* scores were divided by a temperature */
                told->own = scores[token] * (c->temperature < 1e-4f ? 1.0f : c->temperature) - total;
            b->chosen[r * b->most + b->num_chosen[r]++] = (int32_t)token;
            c->place++;
            b->previous[r] = b->ids[r], b->ids[r] = (int32_t)token, b->start[r]++;
            b->known[r][++b->num_before[r]] = (int32_t)token;
        }
        barrier(call->pool, num_threads);
        if (thread == 0) gather_rows(call);
        barrier(call->pool, num_threads);
    }
}
/* In one call of all threads together, or of one thread for itself. */
static void write_rows(const Model *model, Burst *burst, Scratch *s, Pool *pool, int num_threads) {
    const size_t n = (size_t)burst->num_rows;
    BurstCall call = {.model = model, .s = s, .pool = pool, .burst = burst};
    call.row = malloc(n * (7 * sizeof(i64) + 2 * sizeof(int32_t)));
    call.ones = call.row + n, call.places = call.ones + n, call.start = call.places + n, call.num_before = call.start + n;
    call.blocks = (const int32_t **)(call.num_before + n), call.known = call.blocks + n;
    call.ids = (int32_t *)(call.known + n), call.previous = call.ids + n;
    gather_rows(&call);
    if (num_threads > 1) run_task(pool, burst_task, &call, num_threads);
    else burst_task(&call, 0, 1);
    free(call.row);
}

/* Groups of rows, each of which one thread takes from its first token to its last: nobody waits for
   anybody before all are done, and groups that are not begun are left to threads that have a core. */
typedef struct {
    const Model *model;
    Burst *burst;
    Scratch *own; /* of each thread */
    Pool *pool;
    i64 group; /* rows */
    _Atomic i64 next;
} GroupsCall;
static void groups_task(void *argument, int thread, int num_threads) {
    GroupsCall *call = argument;
    (void)num_threads;
    for (;;) {
        const i64 from = atomic_fetch_add(&call->next, call->group);
        Burst part = *call->burst;
        if (from >= part.num_rows) return;
        const i64 told = from * part.most, room = thread * call->model->vocab_size;
        part.num_rows = MIN(call->group, part.num_rows - from);
        part.ids += from, part.previous += from, part.start += from, part.blocks += from, part.known += from;
        part.num_before += from, part.choosers += from, part.chosen += told, part.num_chosen += from;
        part.reports += told, part.powers += room, part.candidates += room;
        write_rows(call->model, &part, call->own + thread, call->pool, 1);
    }
}

/* For tests: see sample.h. */
float find_least(const float *p, i64 num, double mass, i64 count) { return least_kept(p, num, mass, count); }

/* group: rows that a thread takes at once, with scratch of its own; 0: all threads share each step. */
void decode_burst(const Model *model, Burst *burst, Scratch *s, Scratch *own, i64 group, Pool *pool, int num_threads) {
    if (group == 0) {
        write_rows(model, burst, s, pool, num_threads);
        return;
    }
    GroupsCall call = {.model = model, .burst = burst, .own = own, .pool = pool, .group = group};
    run_task(pool, groups_task, &call, num_threads);
}
