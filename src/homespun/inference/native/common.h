/* Vectors, exponentials and a pool of threads, for decode.c. */
#pragma once
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

typedef int64_t i64;
typedef float v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t v8i __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint16_t v8h __attribute__((vector_size(16), aligned(2), may_alias));
typedef int8_t v8b __attribute__((vector_size(8), aligned(1), may_alias));
typedef uint32_t v8u __attribute__((vector_size(32), aligned(4), may_alias));
#define INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

INLINE v8 load8(const float *p) { return *(const v8 *)p; }
INLINE void store8(float *p, v8 v) { *(v8 *)p = v; }
INLINE v8 all8(float x) { return (v8){x, x, x, x, x, x, x, x}; }
INLINE float sum8(v8 v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }

/* e^x to about one unit in the last place, for x of at most 80; 0 below -87. Range reduction by
   log 2 in two parts and the polynomial of Cephes' expf (Moshier 1989). */
INLINE v8 exp8(v8 x) {
    const v8i dead = x < all8(-87.0f);
    const v8 t = x * 1.44269504088896341f;
    /* Adding and taking away 1.5 · 2^23 rounds to the nearest whole number. */
    const v8 whole = (t + 12582912.0f) - 12582912.0f;
    v8 r = x - whole * 0.693359375f;
    r = r - whole * -2.12194440e-4f;
    v8 p = all8(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const v8i power = (__builtin_convertvector(whole, v8i) + 127) << 23;
    return (v8)((v8i)(p * (v8)power) & ~dead);
}
INLINE v8 sigmoid8(v8 x) {
    /* Of the absolute value, so that the power stays in range. */
    const v8i negative = x < all8(0.0f);
    const v8 a = (v8)((v8i)x & 0x7fffffff);
    const v8 e = exp8(-a);
    const v8 big = 1.0f / (1.0f + e), small = e / (1.0f + e);
    return (v8)(((v8i)small & negative) | ((v8i)big & ~negative));
}
INLINE float sigmoid1(float x) { return sigmoid8(all8(x))[0]; }

/* A pool: workers spin for a while after each task, then sleep. */
typedef void (*Task)(void *argument, int thread, int num_threads);
typedef struct {
    int num_threads;
    pthread_t *threads;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    _Atomic unsigned turn, running, arrived, phase;
    _Atomic int closing;
    Task task;
    void *argument;
    int wanted;
} Pool;
typedef struct {
    Pool *pool;
    int number;
} Worker;

#define SPINS 20000 /* of a worker without work: some tenths of a millisecond */
#define PATIENCE 2000 /* of threads that wait for each other, before they let others run */
INLINE void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void *work(void *own) {
    Worker worker = *(Worker *)own;
    free(own);
    Pool *pool = worker.pool;
    unsigned seen = 0;
    for (;;) {
        unsigned turn = seen;
        for (int i = 0; i < SPINS && turn == seen; i++) {
            turn = atomic_load_explicit(&pool->turn, memory_order_acquire);
            relax();
        }
        if (turn == seen) {
            pthread_mutex_lock(&pool->mutex);
            while ((turn = atomic_load(&pool->turn)) == seen) pthread_cond_wait(&pool->wake, &pool->mutex);
            pthread_mutex_unlock(&pool->mutex);
        }
        seen = turn;
        if (atomic_load(&pool->closing)) return NULL;
        if (worker.number < pool->wanted) pool->task(pool->argument, worker.number, pool->wanted);
        atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
    }
}

Pool *open_pool(int num_threads) {
    Pool *pool = calloc(1, sizeof(Pool));
    pool->num_threads = num_threads;
    pool->threads = calloc((size_t)num_threads, sizeof(pthread_t));
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (int i = 1; i < num_threads; i++) {
        Worker *worker = malloc(sizeof(Worker));
        *worker = (Worker){pool, i};
        if (pthread_create(&pool->threads[i], NULL, work, worker) != 0) {
            free(worker);
            pool->num_threads = i;
            break;
        }
    }
    return pool;
}
void close_pool(Pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->closing, 1);
    atomic_fetch_add(&pool->turn, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 1; i < pool->num_threads; i++) pthread_join(pool->threads[i], NULL);
    free(pool->threads);
    free(pool);
}
static void run_task(Pool *pool, Task task, void *argument, int num_threads) {
    num_threads = MIN(num_threads, pool->num_threads);
    pool->task = task, pool->argument = argument, pool->wanted = num_threads;
    if (num_threads > 1) {
        atomic_store(&pool->running, (unsigned)pool->num_threads - 1);
        pthread_mutex_lock(&pool->mutex);
        atomic_fetch_add_explicit(&pool->turn, 1, memory_order_release);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
    task(argument, 0, num_threads);
    if (num_threads > 1)
        for (int i = 0; atomic_load_explicit(&pool->running, memory_order_acquire) != 0; i++)
            i < PATIENCE ? relax() : (void)sched_yield();
}
/* All threads of a task wait for each other. */
static void barrier(Pool *pool, int num_threads) {
    if (num_threads == 1) return;
    const unsigned phase = atomic_load_explicit(&pool->phase, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == (unsigned)num_threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->phase, phase + 1, memory_order_release);
        return;
    }
    for (int i = 0; atomic_load_explicit(&pool->phase, memory_order_acquire) == phase; i++)
        i < PATIENCE ? relax() : (void)sched_yield();
}
