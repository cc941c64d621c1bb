"""The further functions of ``minidl.functional``, each from the file of its formula."""

from ..ops.more.attention import *
from ..ops.more.axes import expand, permute, split, squeeze
from ..ops.more.class_weights import nll_loss
from ..ops.more.critics import *
from ..ops.more.gaussians import gaussian_kl_between, gaussian_log_likelihood
from ..ops.more.indexing import pad
from ..ops.more.log_softmax import log_softmax
from ..ops.more.probability_losses import *
from ..ops.more.products import embedding
from ..ops.more.regression import l1_loss, mse_loss, smooth_l1_loss
from ..ops.more.smooth_activation import elu, gelu, softplus
from ..ops.more.standardization import group_norm, layer_norm
from ..ops.more.variance import normalize
from .further_convolution import conv1d, same_padding
from .one_hot import one_hot
from .pooling import avg_pool2d
from .resizing import interpolate, pixel_shuffle
from .skip_connection import residual
from .unfolding import fold, unfold

__all__ = ["conv1d", "fold", "unfold", "same_padding", "embedding", "avg_pool2d", "interpolate",
           "pixel_shuffle", "elu", "gelu", "softplus", "log_softmax", "group_norm", "layer_norm",
           "normalize", "residual", "attention", "multi_head_attention",
           "scaled_dot_product_attention", "score_additive", "score_dot", "score_general",
           "score_scaled_dot", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div",
           "l1_loss", "mse_loss", "nll_loss", "smooth_l1_loss", "one_hot", "gaussian_kl_between",
           "gaussian_log_likelihood", "gradient_penalty", "lsgan_discriminator_loss",
           "lsgan_generator_loss", "wgan_critic_loss", "wgan_generator_loss", "expand", "pad",
           "permute", "split", "squeeze"]
