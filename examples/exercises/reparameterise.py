"""Sample a code, and send a gradient back through the sample.

    z = mu + sigma eps,  eps drawn from N(0, 1)        Source: D3-REPARAM

The encoder gives mu and logvar = log sigma^2, the logarithm of the variance. eps is drawn already.
gz is the gradient of the loss for z; return z, and the gradients for mu and logvar.
"""


def reparameterise(mu, logvar, eps, gz):
    """four arrays (N, J) -> z, gmu, glogvar, all (N, J)"""
    raise NotImplementedError
