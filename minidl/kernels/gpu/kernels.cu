// The CUDA kernels: what replaces, on a GPU, the readable arithmetic of minidl/ops.
//
// REAL is float or double: the file is compiled once for each. Images are in memory as (n, h, w, c),
// the channels innermost, and numbered by one index; a kernel with a parameter `count` has one
// thread for each number it writes. Every kernel gives the same bits each time: no atomics, sums in
// a fixed order. Letters are those of minidl/ops: n image, (i, j) output pixel, (a, b) input pixel,
// (u, v) tap of the window, c channel.
//
// launch.py reads the `extern "C"` lines and the structs below, and checks every call against them.

#define THREADS 256       // of a block
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)

// A window of KH x KW taps, DH and DW apart, that goes over an image H x W x C in steps of SH and
// SW, with PH and PW pixels of border above and on the left, and so gives OH x OW pixels.
struct Window {
    int H, W, C, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW;
};


// ---------------------------------------------------------------------------- convolution
// rows[n, i, j][u, v, c] = x[n, i SH - PH + u DH, j SW - PW + v DW, c], or 0 outside the image:
// the window under each output pixel as a row, for a matrix product with the weights.
extern "C" __global__ void im2col(const REAL* x, REAL* rows, Window w, int count) {
    int index = INDEX;
    if (index >= count) return;
    int c = index % w.C, rest = index / w.C;
    int v = rest % w.KW; rest /= w.KW;
    int u = rest % w.KH; rest /= w.KH;
    int j = rest % w.OW; rest /= w.OW;
    int i = rest % w.OH, n = rest / w.OH;
    int a = i * w.SH - w.PH + u * w.DH, b = j * w.SW - w.PW + v * w.DW;
    bool inside = 0 <= a && a < w.H && 0 <= b && b < w.W;
    rows[index] = inside ? x[((n * w.H + a) * w.W + b) * w.C + c] : REAL(0);
}

// The adjoint, gathered: x[n, a, b, c] = sum of rows[n, i, j][u, v, c] over all windows (i, j) and
// taps (u, v) that see the pixel: i SH - PH + u DH = a, j SW - PW + v DW = b.
extern "C" __global__ void col2im(const REAL* rows, REAL* x, Window w, int count) {
    int index = INDEX;
    if (index >= count) return;
    int c = index % w.C, rest = index / w.C;
    int b = rest % w.W; rest /= w.W;
    int a = rest % w.H, n = rest / w.H;
    REAL sum = 0;
    for (int u = 0; u < w.KH; u++) {
        int top = a + w.PH - u * w.DH;
        if (top < 0 || top % w.SH || top / w.SH >= w.OH) continue;
        for (int v = 0; v < w.KW; v++) {
            int left = b + w.PW - v * w.DW;
            if (left < 0 || left % w.SW || left / w.SW >= w.OW) continue;
            int pixel = (n * w.OH + top / w.SH) * w.OW + left / w.SW;
            sum += rows[((pixel * w.KH + u) * w.KW + v) * w.C + c];
        }
    }
    x[index] = sum;
}


// ---------------------------------------------------------------------------- max pooling
// y[n, i, j, c] = the largest x under the window, and the number u KW + v of the tap that had it:
// among equals the first; nan is larger than all; the border is smaller than all.
extern "C" __global__ void max_pool(const REAL* x, REAL* y, int* taps, Window w, int count) {
    int index = INDEX;
    if (index >= count) return;
    int c = index % w.C, rest = index / w.C;
    int j = rest % w.OW; rest /= w.OW;
    int i = rest % w.OH, n = rest / w.OH;
    REAL best = 0;
    int tap = -1;
    for (int u = 0; u < w.KH; u++) {
        int a = i * w.SH - w.PH + u * w.DH;
        if (a < 0 || a >= w.H) continue;
        for (int v = 0; v < w.KW; v++) {
            int b = j * w.SW - w.PW + v * w.DW;
            if (b < 0 || b >= w.W) continue;
            REAL value = x[((n * w.H + a) * w.W + b) * w.C + c];
            if (tap < 0 || value > best || value != value) {
                best = value;
                tap = u * w.KW + v;
            }
        }
    }
    if (tap < 0) {                       // all of the window lies in the border
        int u = (w.PH - i * w.SH + w.DH - 1) / w.DH, v = (w.PW - j * w.SW + w.DW - 1) / w.DW;
        best = REAL(log(0.0));
        tap = min(max(u, 0), w.KH - 1) * w.KW + min(max(v, 0), w.KW - 1);
    }
    y[index] = best;
    taps[index] = tap;
}

// Its adjoint, gathered: x[n, a, b, c] = sum of g[n, i, j, c] over the windows whose tap is here.
extern "C" __global__ void max_pool_grad(const REAL* g, const int* taps, REAL* x, Window w,
                                         int count) {
    int index = INDEX;
    if (index >= count) return;
    int c = index % w.C, rest = index / w.C;
    int b = rest % w.W; rest /= w.W;
    int a = rest % w.H, n = rest / w.H;
    REAL sum = 0;
    for (int u = 0; u < w.KH; u++) {
        int top = a + w.PH - u * w.DH;
        if (top < 0 || top % w.SH || top / w.SH >= w.OH) continue;
        for (int v = 0; v < w.KW; v++) {
            int left = b + w.PW - v * w.DW;
            if (left < 0 || left % w.SW || left / w.SW >= w.OW) continue;
            int place = ((n * w.OH + top / w.SH) * w.OW + left / w.SW) * w.C + c;
            if (taps[place] == u * w.KW + v) sum += g[place];
        }
    }
    x[index] = sum;
}


// ---------------------------------------------------------------------------- bias and activation
// y[r, c] = z where z > 0, else slope z, with z = x[r, c] + b[c]. Slope 0 is relu (0, also for
// z = -infinity), 1 no activation; nan stays nan.
extern "C" __global__ void bias_activation(const REAL* x, const REAL* b, REAL* y, int C, REAL slope,
                                           int count) {
    int index = INDEX;
    if (index >= count) return;
    REAL z = x[index] + b[index % C];
    y[index] = z > 0 || z != z ? z : slope == 0 ? REAL(0) : slope * z;
}

#define COLUMNS 32                      // a block's threads: 32 neighbouring channels
#define LANES (THREADS / COLUMNS)       // of 8 rows at a time

// gx = gy where y > 0, else slope gy; and sums[part, c] = the sum of gx[r, c] over the rows of each
// of the parts. A block takes COLUMNS channels of one part; sums are of doubles, for they may
// nearly cancel.
extern "C" __global__ void bias_activation_grad(const REAL* gy, const REAL* y, REAL* gx,
                                                double* sums, int rows, int C, int parts,
                                                REAL slope) {
    __shared__ double lane_sums[LANES][COLUMNS];
    int column = threadIdx.x % COLUMNS, lane = threadIdx.x / COLUMNS;
    int part = blockIdx.x % parts, c = blockIdx.x / parts * COLUMNS + column;
    int length = (rows + parts - 1) / parts, stop = min((part + 1) * length, rows);
    double sum = 0;
    if (c < C) {
        for (int r = part * length + lane; r < stop; r += LANES) {
            REAL g = gy[r * C + c];
            if (!(y[r * C + c] > 0)) g = slope == 0 ? REAL(0) : slope * g;
            gx[r * C + c] = g;
            sum += g;
        }
    }
    lane_sums[lane][column] = sum;
    __syncthreads();
    for (int half = LANES / 2; half > 0; half /= 2) {        // a tree: 8 sums, 4, 2, 1
        if (lane < half) lane_sums[lane][column] += lane_sums[lane + half][column];
        __syncthreads();
    }
    if (lane == 0 && c < C) sums[part * C + c] = lane_sums[0][column];
}

// total[c] = the sum of sums[part, c] over the parts.
extern "C" __global__ void part_sums(const double* sums, REAL* total, int C, int parts) {
    int c = INDEX;
    if (c >= C) return;
    double sum = 0;
    for (int part = 0; part < parts; part++) sum += sums[part * C + c];
    total[c] = REAL(sum);
}


// ---------------------------------------------------------------------------- cross entropy
// For a mean over class numbers t: numbers = t, 0 where ignored; shares = 1 / n where not ignored,
// of which there are n, else 0; nothing = 0, or nan if there are none. One block does all.
extern "C" __global__ void class_shares(const long long* t, long long* numbers, REAL* shares,
                                        REAL* nothing, long long ignored, int count) {
    __shared__ int counts[THREADS];
    int own = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) own += t[i] != ignored;
    counts[threadIdx.x] = own;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) counts[threadIdx.x] += counts[threadIdx.x + half];
        __syncthreads();
    }
    REAL n = counts[0];
    for (int i = threadIdx.x; i < count; i += THREADS) {
        numbers[i] = t[i] != ignored ? t[i] : 0;
        shares[i] = t[i] != ignored ? 1 / n : REAL(0);
    }
    if (threadIdx.x == 0) nothing[0] = n == 0 ? REAL(nan("")) : REAL(0);
}

// log_p[r, c] = (x[r, c] - m) - log sum_c e^(x[r, c] - m), m the largest of the row, and
// loss[r] = -log_p[r, t[r]]. A thread takes a row. For a class that is none the loss is nan: the
// check of the labels, which left its flag before, says what is wrong.
extern "C" __global__ void cross_entropy(const REAL* x, const long long* t, REAL* loss, REAL* log_p,
                                         int rows, int C) {
    int r = INDEX;
    if (r >= rows) return;
    REAL top = x[r * C], sum = 0;
    for (int c = 1; c < C; c++) top = x[r * C + c] > top ? x[r * C + c] : top;
    for (int c = 0; c < C; c++) sum += exp(x[r * C + c] - top);
    REAL rest = log(sum);         // top + rest would lose the small rest of a confident row
    for (int c = 0; c < C; c++) log_p[r * C + c] = (x[r * C + c] - top) - rest;
    loss[r] = 0 <= t[r] && t[r] < C ? -log_p[r * C + t[r]] : REAL(nan(""));
}

// gx[r, c] = gy[r] (p[r, c] - [c is t[r]])
extern "C" __global__ void cross_entropy_grad(const REAL* gy, const REAL* log_p, const long long* t,
                                              REAL* gx, int C, int count) {
    int index = INDEX;
    if (index >= count) return;
    int r = index / C, c = index % C;
    gx[index] = gy[r] * (exp(log_p[index]) - (c == t[r] ? REAL(1) : REAL(0)));
}


// ---------------------------------------------------------------------------- noise
typedef unsigned long long word;

// Block `number` of the cipher Philox 4x64-10 under (seed, counter): see minidl/random.py.
__device__ void philox(word number, word seed, word counter, word out[4]) {
    const word A = 0xD2E7470EE14C6C93ull, B = 0xCA5A826395121157ull;
    word a = number, b = 0, c = 0, d = 0;
    for (int round = 0; round < 10; round++) {
        word high_a = __umul64hi(A, a), high_c = __umul64hi(B, c);
        word low_a = A * a, low_c = B * c;
        a = high_c ^ b ^ seed;
        b = low_c;
        c = high_a ^ d ^ counter;
        d = low_a;
        seed += 0x9E3779B97F4A7C15ull;
        counter += 0xBB67AE8584CAA73Bull;
    }
    out[0] = a; out[1] = b; out[2] = c; out[3] = d;
}

// A word as a number in [0, 1) of 24 or of 53 bits.
__device__ float uniform_of(word bits, float) { return (bits >> 40) * 5.9604644775390625e-8f; }
__device__ double uniform_of(word bits, double) { return (bits >> 11) * 1.1102230246251565e-16; }

// y[e] = word first + e of the draw as a number in [0, 1). A thread takes a block of four words. Of
// the first block y may have only the end: as a word, a negative e is above any count.
extern "C" __global__ void uniform_noise(REAL* y, word seed, word counter, word first, int count) {
    word block = first / 4 + INDEX, words[4];
    philox(block + 1, seed, counter, words);
    for (int k = 0; k < 4; k++) {
        word e = 4 * block + k - first;
        if (e < count) y[e] = uniform_of(words[k], REAL());
    }
}

// Pairs of N(0, 1), by Box and Muller: sqrt(-2 ln(1 - u)) times the cosine and sine of 2 pi v,
// (u, v) two words one after the other; in doubles. A thread takes a block of four words.
extern "C" __global__ void normal_noise(REAL* y, word seed, word counter, word first, int count) {
    word block = first / 4 + INDEX, words[4];
    philox(block + 1, seed, counter, words);
    for (int pair = 0; pair < 4; pair += 2) {
        double radius = sqrt(-2 * log1p(-uniform_of(words[pair], double())));
        double angle = 6.283185307179586 * uniform_of(words[pair + 1], double());
        word e = 4 * block + pair - first;
        if (e < count) y[e] = REAL(radius * cos(angle));
        if (e + 1 < count) y[e + 1] = REAL(radius * sin(angle));
    }
}

// mask = 0 where u < p, else `kept`, u in float32. In memory (n, pixel, c), numbered (n, c, pixel)
// as images are, whatever their memory order, from `first` on; C = 1 where both orders are the same.
extern "C" __global__ void dropout_mask(REAL* mask, word seed, word counter, word first, float p,
                                        REAL kept, int C, int pixels, int count) {
    int index = INDEX;
    if (index >= count) return;
    int c = index % C, pixel = index / C % pixels, n = index / C / pixels;
    word e = first + (n * C + c) * pixels + pixel, words[4];
    philox(e / 4 + 1, seed, counter, words);
    word bits = e % 2 ? (e % 4 == 3 ? words[3] : words[1]) : (e % 4 == 2 ? words[2] : words[0]);
    mask[index] = uniform_of(bits, float()) < p ? REAL(0) : kept;
}


// ---------------------------------------------------------------------------- optimisers
#define TENSORS 64        // as many parameters as one launch takes
#define PIECE 1024        // numbers of a parameter that one block takes

// Parameters p with their gradients g and states m and v (null where a rule has none). Blocks
// first[k] to first[k + 1] work on parameter k. `a` and `b` are what depends on the number of its
// steps: see each rule.
struct Parameters {
    REAL* p[TENSORS];
    REAL* g[TENSORS];
    REAL* m[TENSORS];
    REAL* v[TENSORS];
    REAL a[TENSORS];
    REAL b[TENSORS];
    int size[TENSORS];
    int first[TENSORS + 1];
};

__device__ int parameter_of_block(const Parameters& all) {
    int k = 0;
    while ((int)blockIdx.x >= all.first[k + 1]) k++;
    return k;
}

// For every number of this block's piece of parameter k: `i` is its index there.
#define EACH_NUMBER(all, k, i)                                               \
    int k = parameter_of_block(all), start = (blockIdx.x - all.first[k]) * PIECE; \
    for (int i = start + threadIdx.x; i < min(start + PIECE, all.size[k]); i += blockDim.x)

// p <- p - lr g
extern "C" __global__ void sgd(Parameters all, REAL lr) {
    EACH_NUMBER(all, k, i) all.p[k][i] -= lr * all.g[k][i];
}

// b <- momentum b + share g;  p <- p - lr b, or, with ahead = 1, p - lr (g + momentum b).
// The velocity b is m; share is a.
extern "C" __global__ void sgd_momentum(Parameters all, REAL lr, REAL momentum, REAL ahead) {
    EACH_NUMBER(all, k, i) {
        REAL g = all.g[k][i], velocity = momentum * all.m[k][i] + all.a[k] * g;
        all.m[k][i] = velocity;
        all.p[k][i] -= lr * (ahead ? g + momentum * velocity : velocity);
    }
}

// v <- alpha v + (1 - alpha) g^2;  p <- p - lr g / (sqrt(v) + eps).  rest = 1 - alpha
extern "C" __global__ void rmsprop(Parameters all, REAL lr, REAL alpha, REAL rest, REAL eps) {
    EACH_NUMBER(all, k, i) {
        REAL g = all.g[k][i], square = alpha * all.v[k][i] + rest * g * g;
        all.v[k][i] = square;
        all.p[k][i] -= lr * g / (sqrt(square) + eps);
    }
}

// m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;  p <- p - lr m^ / (sqrt(v^) + eps).
// a = lr / (1 - b1^t), b = sqrt(1 - b2^t), t the number of this parameter's steps.
extern "C" __global__ void adam(Parameters all, REAL beta1, REAL rest1, REAL beta2, REAL rest2,
                                REAL eps) {
    EACH_NUMBER(all, k, i) {
        REAL g = all.g[k][i];
        REAL mean = beta1 * all.m[k][i] + rest1 * g;
        REAL square = beta2 * all.v[k][i] + rest2 * g * g;
        all.m[k][i] = mean;
        all.v[k][i] = square;
        all.p[k][i] -= all.a[k] * mean / (sqrt(square) / all.b[k] + eps);
    }
}

// s <- s + g^2;  p <- p - lr g / (sqrt(s) + eps).  The sum s is v; lr, which may decay, is a.
extern "C" __global__ void adagrad(Parameters all, REAL eps) {
    EACH_NUMBER(all, k, i) {
        REAL g = all.g[k][i], square = all.v[k][i] + g * g;
        all.v[k][i] = square;
        all.p[k][i] -= all.a[k] * g / (sqrt(square) + eps);
    }
}
