/* kern_peak.h - what the registers and the caches can do at best, in terms of
 * kern_vec.h's vectors; included once by each instruction set after it. */

/* Enough to hide the latency of a multiply-add on two ports (4 or 5 cycles), few enough
 * for sixteen registers with the two factors. */
enum { CHAINS = 12 };

static void k_fma(float *x, size_t n)
{
    vec v[CHAINS], mul = v_set1(0.75f), add = v_set1(0.25f);

#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        v[i] = v_load(x + i * W);
    for (; n > 0; n--) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            v[i] = v_fma(v[i], mul, add);
    }
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        v_store(x + i * W, v[i]);
}

static float k_sum(const float *x, size_t n)
{
    vec s[8];

#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        s[i] = v_set1(0.0f);
    for (; n >= 8 * W; n -= 8 * W, x += 8 * W) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++)
            s[i] = v_add(s[i], v_load(x + i * W));
    }
    for (; n >= W; n -= W, x += W)
        s[0] = v_add(s[0], v_load(x));
    if (n)
        s[1] = v_add(s[1], v_loadm(x, v_mask(n)));
#pragma GCC unroll 4
    for (int step = 4; step > 0; step /= 2) {
#pragma GCC unroll 4
        for (int i = 0; i < step; i++)
            s[i] = v_add(s[i], s[i + step]);
    }
    return (float)vd_sum(vd_add(vd_lo(s[0]), vd_hi(s[0])));
}

static void fill_peak(struct cf_kern *k)
{
    k->chains = CHAINS * W;
    k->fma = k_fma;
    k->sum = k_sum;
}
