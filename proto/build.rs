//! Compiles the declarations under `wire/` to Rust, with protox: no protoc is needed.
//!
//! Messages that carry secrets get a `Debug` of their own that shows none.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use protox::Compiler;
use protox::prost_reflect::{FieldDescriptor, MessageDescriptor};

const FILES: [&str; 4] = ["csi/identity.proto", "csi/controller.proto", "csi/group_controller.proto", "csi/node.proto"];
const REGISTRATION: &str = "kubelet/registration.proto";
/// The field option that marks secrets.
const SECRET: &str = "csi.v1.csi_secret";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=wire");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut compiler = Compiler::new(["wire"])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?.open_file(REGISTRATION)?;
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let secretive = secretive(&compiler);
    let mut config = tonic_prost_build::Config::new();
    config.skip_debug(secretive.keys().map(|name| format!(".{name}")));
    tonic_prost_build::configure()
        .emit_rerun_if_changed(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    fs::write(out.join("secretive.rs"), debug_impls(secretive.values())?)?;
    Ok(())
}

/// The messages that have fields with secrets.
fn secretive(compiler: &Compiler) -> BTreeMap<String, MessageDescriptor> {
    let pool = compiler.descriptor_pool();
    let messages = pool.all_messages().filter(|message| message.fields().any(|field| is_secret(&field)));
    messages.map(|message| (message.full_name().to_owned(), message)).collect()
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let pool = field.parent_pool();
    pool.get_extension_by_name(SECRET)
        .is_some_and(|secret| field.options().get_extension(&secret).as_bool() == Some(true))
}

/// `Debug` that names every field and shows every value but secrets.
fn debug_impls<'a>(messages: impl Iterator<Item = &'a MessageDescriptor>) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in messages {
        let name = message.name();
        if message.parent_message().is_some() {
            return Err(format!("{name} is nested: teach build.rs the path of its Rust type").into());
        }
        writeln!(code, "impl ::core::fmt::Debug for {name} {{")?;
        writeln!(code, "    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{")?;
        write!(code, "        f.debug_struct(\"{name}\")")?;
        for field in message.fields() {
            let (name, secret) = (field.name(), is_secret(&field));
            let value = if secret { "&::core::format_args!(\"<secret>\")".to_owned() } else { format!("&self.{name}") };
            write!(code, ".field(\"{name}\", {value})")?;
        }
        writeln!(code, ".finish()\n    }}\n}}")?;
    }
    Ok(code)
}
