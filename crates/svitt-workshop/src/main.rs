//! The program `svitt-workshop`; `cargo xtask parity`, `bench`, `fuzz`, `faults` and `eval ablations` start it.

#[global_allocator]
static ALLOCATOR: svitt::cli::allocator::MiMalloc = svitt::cli::allocator::MiMalloc;

fn main() -> std::process::ExitCode {
    svitt_workshop::cli::main()
}
