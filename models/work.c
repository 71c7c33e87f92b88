#include "models/work.h"

#include "models/infinity.h"
#include "models/vae_part.h"

double cf_vae_work(const struct cf_vae *vae, int h, int w)
{
    double pixels = (double)h * w, flops = 0;

    for (int i = 0; i < vae->decoder.n; i++) {
        const struct cf_vae_op *op = &vae->decoder.op[i];
        double in = op->in, out = op->out;

        if (op->kind == CF_VAE_UP)
            pixels *= 4;
        flops += pixels * 18 * in * out;
        if (op->kind == CF_VAE_RES)
            flops += pixels * (18 * out * out + (op->in != op->out ? 2 * in * out : 0));
    }
    return flops;
}

double cf_vae_largest(const struct cf_vae *vae, int h, int w)
{
    double pixels = (double)h * w, most = 0;

    for (int i = 0; i < vae->decoder.n; i++) {
        const struct cf_vae_op *op = &vae->decoder.op[i];
        int c = op->in > op->out ? op->in : op->out;

        if (op->kind == CF_VAE_UP)
            pixels *= 4;
        most = pixels * c > most ? pixels * c : most;
    }
    return most;
}

/* Rows of every scale: images, and as many without their text where guidance is used. */
static double rows_of(const struct cf_plan *plan)
{
    for (int s = 0; s < plan->n_step; s++)
        if (plan->step[s].guidance != 1.0f)
            return 2.0 * plan->batch;
    return plan->batch;
}

struct cf_work cf_inf_work(const struct cf_inf_shape *shape, const struct cf_vae *vae,
                           const struct cf_plan *plan, int step)
{
    double c = shape->c, depth = shape->depth, text = plan->n_text_max;
    double rows = rows_of(plan), here, before = 0;
    struct cf_work work = {0};

    if (step < 0) {
        work.text = rows * text * depth * 4 * c * c;
        return work;
    }
    if (step >= plan->n_step) {
        const struct cf_step *last = &plan->step[plan->n_step - 1];
        int f = shape->patchify ? 2 : 1;

        work.decoder = plan->batch * cf_vae_work(vae, last->h * f, last->w * f);
        return work;
    }
    for (int s = 0; s < step; s++)
        before += (double)plan->step[s].h * plan->step[s].w;
    here = (double)plan->step[step].h * plan->step[step].w;
    work.linear = rows * here * depth * 2 * c * (6 * c + 2.0 * shape->mlp);
    work.self_attn = rows * here * depth * 4 * c * (before + here);
    work.cross_attn = rows * here * depth * 4 * c * text;
    return work;
}

double cf_work_flops(const struct cf_work *w)
{
    return w->linear + w->self_attn + w->cross_attn + w->text + w->decoder;
}
