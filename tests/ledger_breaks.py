"""Every formula of the ledger, broken: single changes of the engine that make a row wrong.

tests/test_ledger.py makes one change at a time in a copy of the package and runs the tests that
docs/ledger.md names for the row: they must fail. A row may have several changes, one for each part
of its formula. Of a network or a procedure one number of its listing is changed.
"""

from __future__ import annotations

from typing import NamedTuple


class Break(NamedTuple):
    row: str
    file: str                  # below minidl/
    old: str                   # stands there exactly once
    new: str


CONV, POOL, LINEAR, ACTIVATION, REDUCE, LOSS, NORM = (
    f"ops/{name}.py" for name in ("conv", "pool", "linear", "activation", "reduce", "loss", "norm"))
ATTENTION, CLASS_WEIGHTS, CRITICS, GAUSSIANS, PROBABILITIES, REGRESSION = (
    f"ops/more/{name}.py" for name in ("attention", "class_weights", "critics", "gaussians",
                                       "probability_losses", "regression"))
GENERATIVE, RULES, SGD = "ops/generative.py", "optim/update_rules.py", "optim/more/sgd.py"
METRICS, RESIDUAL = "training/metrics.py", "models/more/residual.py"
GAN_STEPS, MODELS_GAN, CNN = "training/gan_steps.py", "models/gan.py", "models/cnn.py"
VARIANTS = "training/gan_variants.py"
CLASSIFIERS, GANS = "models/more/classifiers.py", "models/more/gans.py"

BREAKS = [
    # ---- convolution and pooling
    Break("D0-CONV", CONV, "weights = w.transpose(2, 3, 1, 0)",
          "weights = w[:, :, ::-1].transpose(2, 3, 1, 0)"),
    Break("D1-CONV", CONV, "padded[:, PH:PH + H, PW:PW + W] = x", "padded[:, :H, PW:PW + W] = x"),
    Break("D3-CONV", CONV, "weights = w.transpose(2, 3, 1, 0)",
          "weights = w[:, ::-1].transpose(2, 3, 1, 0)"),
    Break("D3-CONV", CONV, "rows @ weights if b is None else rows @ weights + b",
          "rows @ weights"),
    Break("D0-MAXPOOL", POOL, "better = (candidate > y)", "better = (candidate < y)"),
    Break("D0-MAXPOOL", POOL, "top, left = u * DH, v * DW\n            rows",
          "top, left = u * DH, u * DW\n            rows"),
    Break("D0-AVGPOOL", "more/pooling.py", "y = total * (1 / math.prod(window))",
          "y = total * (1 / sum(window))"),
    Break("D0-AVGPOOL", "more/pooling.py", "(-before, n + before) if count_include_pad",
          "(0, n + before) if count_include_pad"),
    Break("D1-TCONV", CONV, "SW] += cols[:, :, :, u, v]", "SW] = cols[:, :, :, u, v]"),
    Break("D2-UPSAMPLE", "more/resizing.py", "expand(reshape(input, N, C, H, 1, W, 1)",
          "expand(reshape(input.flip(3), N, C, H, 1, W, 1)"),
    # ---- layers and activations
    Break("D1-DENSE", LINEAR, "return x @ w.T", "return x @ (w.T * 1.001)"),
    Break("D1-DENSE", LINEAR, "else x @ w.T + b", "else x @ w.T - b"),
    Break("D2-RELU", ACTIVATION, "return namespace(x).maximum(x, 0)", "return namespace(x).abs(x)"),
    Break("D0-LRELU", ACTIVATION, "where(x > 0, x, x * x.dtype.type(slope))",
          "where(x > 0, x, -x * x.dtype.type(slope))"),
    Break("D0-TANH", ACTIVATION, ".tanh(as_floats(input))", ".tanh(as_floats(input) / 2)"),
    Break("D0-SIGMOID", ACTIVATION, "return xp.where(x >= 0, 1, e) / (1 + e)",
          "return xp.where(x >= 0, e, 1) / (1 + e)"),
    Break("D1-SOFTMAX", REDUCE, "return e / array_sum.readable(e, dim)",
          "return e / array_max(e, dim)"),
    Break("D3-DROPOUT", "ops/dropout.py", "(u >= p)", "(u < p)"),
    Break("D3-DROPOUT", "ops/dropout.py", "else 1 / (1 - p))", "else 1)"),
    Break("D3-DROPOUT", "ops/dropout.py", "if not training or p == 0:", "if p == 0:"),
    Break("D3-RESIDUAL", "more/skip_connection.py", "return input + function(input)",
          "return function(input)"),
    Break("D3-RESIDUAL", "nn/more/skip_connection.py", "return x + fx", "return x - fx"),
    Break("D1-BN", NORM, "return normal * w + b, mean", "return normal * w - b, mean"),
    Break("D1-BN", NORM, "scale = (running_var + eps) ** -0.5",
          "scale = (running_var + eps) ** -1"),
    Break("D1-BN", NORM, "running.data * (1 - momentum) + new * momentum",
          "running.data * momentum + new * (1 - momentum)"),
    # ---- losses
    Break("D0-CE", LOSS, "return -log_p[xp.arange(len(t)), t]",
          "return log_p[xp.arange(len(t)), t]"),
    Break("D0-CE", CLASS_WEIGHTS, "loss = -sum(weighed(t *", "loss = -sum(weighed(t * t *"),
    Break("D4-MAE", REGRESSION, "reduce_loss(\"l1_loss\", difference.abs()",
          "reduce_loss(\"l1_loss\", difference"),
    Break("D1-MSE", REGRESSION, "difference * difference, reduction",
          "difference.abs(), reduction"),
    Break("D0-BCE", PROBABILITIES, "y = -(b * log_p + (1 - b) * log_q)",
          "y = -(b * log_q + (1 - b) * log_p)"),
    Break("D0-BCE", LOSS, "share = xp.where(a > 0, 1 - b, b)", "share = xp.where(a > 0, b, 1 - b)"),
    # ---- adversarial losses
    Break("D3-GAN-V", GENERATIVE, "-mean(softplus1(-real)) - mean(softplus1(fake))",
          "-mean(softplus1(real)) - mean(softplus1(fake))"),
    Break("D3-GAN-V", GENERATIVE, "if saturating else mean(softplus1(-fake))",
          "if saturating else mean(softplus1(fake))"),
    Break("D3-GAN-V", GAN_STEPS, "loss = self.g_loss(D(G(z)))", "loss = -self.g_loss(D(G(z)))"),
    Break("D3-WGAN", CRITICS, "return mean(fake) - mean(real)",
          "return mean(real) - mean(fake)"),
    Break("D3-WGAN", CRITICS, "    return -mean(fake)\n\n\n@arguments\ndef gradient_penalty",
          "    return mean(fake)\n\n\n@arguments\ndef gradient_penalty"),
    Break("D3-WGAN", CRITICS, "norm(rows_of(slope), dim=1) - 1",
          "norm(rows_of(slope), dim=1)"),
    Break("D3-WGAN", VARIANTS, "weight.clamp_(-self.clip, self.clip)",
          "weight.clamp_(0, self.clip)"),
    Break("D3-WGAN", VARIANTS, "F.gradient_penalty(D, images, fake, self.weight)",
          "F.gradient_penalty(D, images, images, self.weight)"),
    Break("D3-LSGAN", CRITICS, "0.5 * mean((fake - a) ** 2)", "0.5 * mean((fake - b) ** 2)"),
    Break("D3-LSGAN", CRITICS, "return 0.5 * mean((fake - c) ** 2)",
          "return mean((fake - c) ** 2)"),
    Break("D3-LSGAN", VARIANTS, "d_loss = staticmethod(F.lsgan_discriminator_loss)",
          "d_loss = staticmethod(F.gan_discriminator_loss)"),
    Break("D3-CGAN", VARIANTS, "model.of_class(D(x), labels)", "model.of_class(D(x), 0 * labels)"),
    Break("D3-CGAN", VARIANTS, "model.told(z, labels)", "model.told(z, 0 * labels)"),
    Break("D3-CGAN", "models/more/conditional.py", 'F.cat([z, self._rows("told", z, labels)], 1)',
          'F.cat([self._rows("told", z, labels), z], 1)'),
    Break("D3-CGAN", "models/more/conditional.py", "scores, labels)).sum(1, keepdim=True)",
          "scores, labels)).mean(1, keepdim=True)"),
    # ---- variational autoencoder
    Break("D3-ELBO", GENERATIVE, "return mean(log_likelihood) - mean(kl)",
          "return mean(log_likelihood) + mean(kl)"),
    Break("D3-ELBO", GAUSSIANS, "    return -0.5 * sum(d * d, 1)", "    return -sum(d * d, 1)"),
    Break("D3-ELBO", "training/vae_steps.py", "return -F.elbo(likelihood, kl)",
          "return -F.elbo(likelihood, 0.5 * kl)"),
    Break("D3-KL", GENERATIVE, "sum(1 + logvar - mu * mu - logvar.exp(), -1)",
          "sum(1 + logvar - mu - logvar.exp(), -1)"),
    Break("D3-KL", GAUSSIANS, "inside = logvar2 - logvar +", "inside = logvar - logvar2 +"),
    Break("D3-KL", PROBABILITIES, "where(positive, target, 1.0).log() - input)",
          "where(positive, target, 1.0).log() + input)"),
    Break("D3-REPARAM", GENERATIVE, "return mu + (0.5 * logvar).exp()", "return mu + logvar.exp()"),
    Break("D3-REPARAM", "training/vae_steps.py", "F.reparameterize(mu, logvar,",
          "F.reparameterize(logvar, mu,"),
    # ---- attention
    Break("D3-ATT", ATTENTION, "return score_dot(s, h) / math.sqrt(max(s.shape[-1], 1))",
          "return score_dot(s, h) / max(s.shape[-1], 1)"),
    Break("D3-ATT", ATTENTION, "return bilinear_form(s, weight, h)",
          "return bilinear_form(s, weight.mT, h)"),
    Break("D3-ATT", ATTENTION, "return sum(tanh(both) * v, -1)", "return sum(both * v, -1)"),
    Break("D3-ATT", ATTENTION, "alpha = softmax(score(s, h), -1)",
          "alpha = softmax(score(s, h), -2)"),
    Break("D3-MHA", ATTENTION, "q, k, v = (split_heads(x, heads) for x in projected)",
          "q, v, k = (split_heads(x, heads) for x in projected)"),
    Break("D3-MHA", "nn/more/attention.py", "alpha = F.softmax(e, -1)", "alpha = F.softmax(e, -2)"),
    # ---- initialisation and update rules
    Break("D2-HE", "nn/more/he_glorot.py",
          "calculate_gain(nonlinearity, a) / math.sqrt(fan), generator",
          "calculate_gain(nonlinearity, a) / fan, generator"),
    Break("D2-HE", "nn/initial_weights.py", "gain * math.sqrt(6 / (sum(",
          "gain * math.sqrt(3 / (sum("),
    Break("D2-HE", "nn/initial_weights.py", "1 / math.sqrt(fan_in)", "1 / fan_in"),
    Break("D2-HE", "nn/more/he_glorot.py", "* math.sqrt(3 / fan)", "* math.sqrt(1 / fan)"),
    Break("D0-ADAM", RULES, "m += (1 - beta1) * g", "m += beta1 * g"),
    Break("D0-ADAM", RULES, "v += (1 - beta2) * g * g", "v += (1 - beta2) * abs(g)"),
    Break("D0-ADAM", RULES, "1 - beta1**t, 1 - beta2**t", "1, 1 - beta2**t"),
    Break("D1-RMSPROP", RULES, "p -= lr * g / (namespace(v).sqrt(v) + eps)",
          "p -= lr * g / namespace(v).sqrt(v + eps)"),
    Break("D0-SGD", SGD, '    """p <- p - lr g"""\n    p -= lr * g',
          '    """p <- p - lr g"""\n    p += lr * g'),
    Break("D0-SGD", SGD, "    b *= momentum", "    b *= 1 - momentum"),
    # ---- metrics
    Break("D2-METRICS", METRICS, "float(np.mean(true == predicted))",
          "float(np.mean(true != predicted))"),
    Break("D2-METRICS", METRICS, "_joined(tp, called, actual, average, zero_division)",
          "_joined(tp, actual, actual, average, zero_division)"),
    Break("D2-METRICS", METRICS, "_joined(tp, actual, actual, average, zero_division)",
          "_joined(actual - tp, actual, actual, average, zero_division)"),
    Break("D2-METRICS", METRICS, "_joined(2 * tp, called + actual,",
          "_joined(tp, called + actual,"),
    Break("D2-METRICS", METRICS, "np.append(0, fp / fp[-1])", "np.append(0, fp / tp[-1])"),
    Break("D2-METRICS", METRICS, "np.sum(steps * (y[1:] + y[:-1]) / 2)",
          "np.sum(steps * y[1:])"),
    # ---- networks
    Break("D0-CNN", CLASSIFIERS, "nn.MaxPool2d(kernel_size=2, stride=2)",
          "nn.AvgPool2d(kernel_size=2, stride=2)"),
    Break("D1-CNN", CNN, "nn.Linear(64 * 3 * 3, 64), nn.ReLU()",
          "nn.Linear(64 * 3 * 3, 64), nn.Tanh()"),
    Break("D2-CNN", "models/recipes.py", "partial(CNN, dropout=0.5)",
          "partial(CNN, dropout=0.25)"),
    Break("D4-CNN", CLASSIFIERS, "nn.Linear(64 * 6 * 6, 128), nn.ReLU()",
          "nn.Linear(64 * 6 * 6, 128), nn.Tanh()"),
    Break("D0-GAN", GANS,
          "nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1), nn.LeakyReLU(0.01)",
          "nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1), nn.LeakyReLU(0.2)"),
    Break("D1-GAN", MODELS_GAN, "momentum: float = 0.99", "momentum: float = 0.9"),
    Break("D2-GAN", GANS, "nn.Conv2d(4 * w, 2 * w, 3, padding=\"same\"), nn.ReLU()",
          "nn.Conv2d(4 * w, 2 * w, 3, padding=\"same\"), nn.LeakyReLU(0.2)"),
    Break("D4-GAN", GANS, "nn.Linear(4 * w, 2 * w, bias=False), nn.LeakyReLU(0.2)",
          "nn.Linear(4 * w, 2 * w, bias=False), nn.ReLU()"),
    Break("D1-VAE", "models/vae.py", "nn.Conv2d(32, 64, 3, padding=\"same\"), nn.ReLU()",
          "nn.Conv2d(32, 64, 3, padding=\"same\"), nn.Tanh()"),
    Break("D3-ATTNET", "models/more/transformer.py", "return x + self.mlp(self.norm2(x))",
          "return self.mlp(self.norm2(x))"),
    Break("D3-RESNET", RESIDUAL, "nn.Residual(F) if skips else F", "F if skips else F"),
]
