//! Runs a kernel with the widest instructions this machine has: AVX-512, AVX2 + FMA, NEON, or plain. Only [`pulp`]'s own operations
//! differ between them (a multiply-add rounds once where there is one): what the compiler vectorises keeps its bits.

use pulp::{Simd, WithSimd};

/// Calls `op` compiled for this machine; for loops that the compiler is to vectorise see [`vectorized`](crate::vectorized).
#[inline]
pub fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return Simd::vectorize(simd, op);
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return Simd::vectorize(simd, op);
        }
    }
    pulp::Arch::new().dispatch(op)
}

/// What [`vectorized`](crate::vectorized) runs.
pub struct Loops<F>(pub F);

impl<R, F: FnMut() -> R> WithSimd for Loops<F> {
    type Output = R;
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}

/// Runs an expression whose loops the compiler vectorises for this machine. They must be part of the function that is compiled for it: in functions
/// and closures that the compiler does not inline there (`for_each` of a long closure), loops get the instructions that every machine has.
#[macro_export]
macro_rules! vectorized {
    ($loops:expr) => {
        $crate::simd::dispatch($crate::simd::Loops(
            #[inline(always)]
            || $loops,
        ))
    };
}

/// Runs `op` in a function of its own: amid other code the compiler keeps some of a register tile's sums in memory, which costs a fifth of
/// the speed.
#[inline(never)]
pub fn apart<S: Simd>(simd: S, op: impl WithSimd<Output = ()>) {
    simd.vectorize(op);
}

/// Number of f32 in one register.
pub fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    dispatch(Lanes)
}

/// Repeats a block for `$m` = 0, 1 ... below `$count` (at most 20) in the source, so that every index is a constant and the sums of a
/// register tile stay in registers whatever the optimiser thinks of unrolling.
#[macro_export]
macro_rules! unrolled {
    ($m:ident < $count:ident, $body:block) => { $crate::unrolled!(@ $m, $count, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19) };
    (@ $m:ident, $count:ident, $body:block, $($i:literal)*) => { $( if $i < $count { let $m = $i; $body } )* };
}
