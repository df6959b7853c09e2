/* log x from x = m 2^n, m from sqrt(1/2) to sqrt(2): f is m - 1. To about two units in the last place (Cephes'
   logf, Moshier 1989). For numbers and for vectors of them, of the caller's types; f and n are named twice. */
#define LOG_OF_PARTS(f, n)                                                                                           \
    ((f) +                                                                                                           \
     (((((((((7.0376836292e-2f * (f) - 1.1514610310e-1f) * (f) + 1.1676998740e-1f) * (f) - 1.2420140846e-1f) * (f) +  \
           1.4249322787e-1f) * (f) - 1.6668057665e-1f) * (f) + 2.0000714765e-1f) * (f) - 2.4999993993e-1f) * (f) +    \
       3.3333331174e-1f) * (f) * (f) * (f) -                                                                         \
      2.12194440e-4f * (n) - 0.5f * (f) * (f)) +                                                                     \
     0.693359375f * (n))
