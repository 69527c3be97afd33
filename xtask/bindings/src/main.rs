//! `kez-bindings <input.wasm> <folder>`: what `wasm-bindgen --target web --typescript` does, at the version that the
//! workspace pins. Called by `cargo xtask wasm`.

use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [input, folder] = arguments.as_slice() else { return Err("kez-bindings <input.wasm> <folder>".into()) };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(input).web(true)?.typescript(true).remove_producers_section(true).generate(folder)?;
    Ok(())
}
