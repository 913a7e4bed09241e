//! How a thread rounds while it computes for us. A thread inherits that from the one that starts it, so a host that computes in another rounding
//! mode would get other pixels from the same seed. Threads that are started meanwhile inherit what is set here.

/// While it lives, this thread rounds to nearest, keeps subnormal numbers and traps nothing, which is what Rust assumes; afterwards it does as
/// before.
pub struct Nearest {
    before: u64,
}

impl Nearest {
    /// Begins on this thread.
    pub fn here() -> Self {
        let before = register();
        set(AT_START);
        Self { before }
    }
}

impl Drop for Nearest {
    fn drop(&mut self) {
        set(self.before);
    }
}

/// What the register holds when a process starts: on x86-64 all exceptions masked (Intel SDM vol. 1, 10.2.3), on aarch64 nothing.
const AT_START: u64 = if cfg!(target_arch = "x86_64") { 0x1F80 } else { 0 };

#[cfg(target_arch = "x86_64")]
fn register() -> u64 {
    let mut mxcsr = 0_u32;
    // SAFETY: writes the four bytes of a local.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack)) };
    u64::from(mxcsr)
}

#[cfg(target_arch = "x86_64")]
fn set(register: u64) {
    let mxcsr = register as u32;
    // SAFETY: reads the four bytes of a local, which the register held or holds at a process's start.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mxcsr, options(nostack, readonly)) };
}

#[cfg(target_arch = "aarch64")]
fn register() -> u64 {
    let fpcr: u64;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nostack, nomem)) };
    fpcr
}

#[cfg(target_arch = "aarch64")]
fn set(register: u64) {
    // SAFETY: the register held this value, or holds it at a process's start.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) register, options(nostack)) };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn register() -> u64 {
    0
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn set(_: u64) {}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn threads_started_meanwhile_round_to_nearest_and_the_host_s_way_comes_back() {
        let upward = 0x1F80 | 2 << 13;
        set(upward);
        let inherited = {
            let _nearest = Nearest::here();
            std::thread::spawn(register).join().unwrap()
        };
        let after = register();
        set(AT_START);
        assert_eq!((inherited & 0x6000, after & 0x6000), (0, 2 << 13));
    }
}
