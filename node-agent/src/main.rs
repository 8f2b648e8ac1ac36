//! The program `lunette-node`: see the library of the same name.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    lunette_node::main()
}
