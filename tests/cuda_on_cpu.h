// CUDA for g++: included before a file of kernels, it lets them run on the CPU, block by block.
//
// The threads of a block run one after the other. Where a block comes to a barrier each of them is
// a coroutine with a stack of its own: at __syncthreads() it hands over to the next, and when all
// wait there they are gone through again. cuda_on_cpu.py compiles this, checks arguments, calls.
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#include <type_traits>
#include <utility>

// ---------------------------------------------------------------------------- the language
#define __global__
#define __device__
#define __constant__
#define __forceinline__ inline
#define __shared__ static __attribute__((section("shared_memory")))
#define __syncthreads() emulator::barrier(__LINE__)

struct Index { unsigned x, y, z; };
static Index threadIdx, blockIdx, blockDim, gridDim;

template <class A, class B>
static inline std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B>
static inline std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }

static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}

// The linker's names for the first byte of all __shared__ variables, and for the end of the last.
extern "C" {
extern char __start_shared_memory[] __attribute__((weak, visibility("hidden")));
extern char __stop_shared_memory[] __attribute__((weak, visibility("hidden")));
}

namespace emulator {

// ---------------------------------------------------------------------------- a launch
enum Failure { NONE, DIVERGED, UNDEFINED };

// As in cuda_on_cpu.py. The last five are set by a failure, which ends the launch.
struct Launch {
    int blocks, threads, backward;
    int failure, block, thread, line, other_line;
};

const int ENDED = -1;                     // as the line of a thread that has returned
const int MOST_THREADS = 1024;
const size_t STACK = 64 * 1024;

struct Thread {
    jmp_buf state;
    int line;                             // of the barrier at which it waits
};

// A kernel, and its arguments: see RUNNABLE.
typedef void (*Body)(void** arguments);

static Launch* launch;                    // the one that runs
static Body body;
static void** arguments;
static Thread threads[MOST_THREADS];      // of the block that runs
static Thread* current;                   // the thread that runs, null if it is no coroutine
static char stacks[MOST_THREADS][STACK] __attribute__((aligned(64)));
static jmp_buf scheduler, way_out;

[[noreturn]] static void fail(Failure failure, int line, int other_line = 0) {
    launch->failure = failure;
    launch->block = blockIdx.x;
    launch->thread = threadIdx.x;
    launch->line = line;
    launch->other_line = other_line;
    _longjmp(way_out, 1);
}

// Shared memory holds anything when a block begins: here nan, and -1 in integers.
static void poison_shared_memory() {
    char* start = __start_shared_memory;
    asm volatile("" : "+r"(start) : : "memory");     // the compiler shall not know which variable
    if (start) memset(start, 0xFF, __stop_shared_memory - __start_shared_memory);
    asm volatile("" : : "r"(start) : "memory");
}

// The i-th thread, or block, of n in the order of this launch.
static inline int in_order(int i, int n) { return launch->backward ? n - 1 - i : i; }

// ---------------------------------------------------------------------------- coroutines
__attribute__((noinline)) static void barrier(int line) {
    if (!current) fail(DIVERGED, line, ENDED);       // the first thread of the block met none
    current->line = line;
    if (!_setjmp(current->state)) _longjmp(scheduler, 1);
    asm volatile("" : : : "memory");
}

// The first thing that runs on a new stack.
static void begin() {
    body(arguments);
    current->line = ENDED;
    _longjmp(scheduler, 1);
}

static void start(char* stack) {
    ucontext_t fresh, here;
    getcontext(&fresh);
    fresh.uc_stack.ss_sp = stack;
    fresh.uc_stack.ss_size = STACK;
    makecontext(&fresh, begin, 0);
    swapcontext(&here, &fresh);
}

// Run thread t up to its next barrier, or to its end.
__attribute__((noinline)) static void advance(int t, bool fresh) {
    threadIdx.x = t;
    current = &threads[t];
    if (_setjmp(scheduler)) return;
    if (fresh) start(stacks[t]);
    _longjmp(current->state, 1);
}

// All threads of a block come to the same barrier, or all have ended.
static void check_together() {
    for (int t = 1; t < launch->threads; t++) {
        if (threads[t].line == threads[0].line) continue;
        bool waits = threads[t].line != ENDED;       // of the two, name one that waits
        threadIdx.x = waits ? t : 0;
        fail(DIVERGED, threads[waits ? t : 0].line, threads[waits ? 0 : t].line);
    }
}

static void run_block() {
    const int n = launch->threads, first = in_order(0, n);
    advance(first, true);
    if (threads[first].line == ENDED) {              // no barrier in this block: a plain loop
        current = nullptr;
        for (int i = 1; i < n; i++) {
            threadIdx.x = in_order(i, n);
            body(arguments);
        }
        return;
    }
    for (int i = 1; i < n; i++) advance(in_order(i, n), true);
    for (check_together(); threads[0].line != ENDED; check_together())
        for (int i = 0; i < n; i++) advance(in_order(i, n), false);
}

static void run(Launch* wanted, Body wanted_body, void** wanted_arguments) {
    launch = wanted;
    body = wanted_body;
    arguments = wanted_arguments;
    gridDim = {unsigned(launch->blocks), 1, 1};
    blockDim = {unsigned(launch->threads), 1, 1};
    if (_setjmp(way_out)) return;                    // it failed
    for (int b = 0; b < launch->blocks; b++) {
        blockIdx.x = in_order(b, launch->blocks);
        poison_shared_memory();
        run_block();
    }
}

// ---------------------------------------------------------------------------- arguments
// arguments[k] is the address of the k-th argument, as for the driver's cuLaunchKernel.
template <class... A, size_t... K>
inline void call(void (*kernel)(A...), void** arguments, std::index_sequence<K...>) {
    kernel(*(A*)arguments[K]...);
}

template <class... A>
inline void call(void (*kernel)(A...), void** arguments) {
    call(kernel, arguments, std::index_sequence_for<A...>());
}

// A type as NumPy writes it, f4, i8, u1, V24 for a struct; of what a pointer points to; and a star
// for a pointer, two for one through which the kernel may write.
template <class T>
int write_type(char* text) {
    using To = std::remove_cv_t<std::remove_pointer_t<T>>;
    const char* stars = !std::is_pointer_v<T> ? ""
                        : std::is_const_v<std::remove_pointer_t<T>> ? "*" : "**";
    char kind = std::is_same_v<To, bool> ? 'b' : std::is_floating_point_v<To> ? 'f'
                : std::is_unsigned_v<To> ? 'u' : std::is_integral_v<To> ? 'i' : 'V';
    return sprintf(text, "%c%d%s ", kind, int(sizeof(To)), stars);
}

template <class... A>
void write_types(void (*)(A...), char* text) { ((text += write_type<A>(text)), ...); }

}  // namespace emulator

// What cuda_on_cpu.py calls, for each kernel of the file; 16 characters a type are enough.
#define RUNNABLE(kernel)                                                                        \
    extern "C" __attribute__((visibility("default"))) void types_of_##kernel(char* text) {      \
        emulator::write_types(kernel, text);                                                    \
    }                                                                                           \
    extern "C" __attribute__((visibility("default")))                                           \
    void run_##kernel(emulator::Launch* launch, void** arguments) {                             \
        emulator::run(launch, [](void** a) { emulator::call(kernel, a); }, arguments);          \
    }

// ---------------------------------------------------------------------------- undefined behaviour
// Called by what -fsanitize=... adds to the kernels: an array's index out of its bounds, a null
// pointer, a division of integers by zero. `where` begins with the place in the source.
struct Where { const char* file; unsigned line, column; };

extern "C" {
void __ubsan_handle_out_of_bounds(Where* where, void*) {
    emulator::fail(emulator::UNDEFINED, where->line);
}
void __ubsan_handle_divrem_overflow(Where* where, void*, void*) {
    emulator::fail(emulator::UNDEFINED, where->line);
}
void __ubsan_handle_type_mismatch_v1(Where* where, void*) {
    emulator::fail(emulator::UNDEFINED, where->line);
}
}
