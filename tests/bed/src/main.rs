//! stub
use lunette_bed::*;
fn main() { if let Err(e) = go() { println!("{e:#}"); } }
fn go() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if args[1] == "guest-exec" { return exec::serve(); }
    bed::interrupt::clear_up_on_signals()?;
    let ground = Ground::prepare(&layout::Layout::find()?)?;
    println!("{:?}", ground.accelerator());
    if args[1] == "setup" { return Ok(()); }
    let t = std::time::Instant::now();
    let bed = Bed::up(&ground, args[1].parse().unwrap())?;
    println!("bed {:?}", t.elapsed());
    let vm = Vm::boot(&bed, VmSpec::new("alpha"))?;
    println!("boot {:?}", t.elapsed());
    for c in &args[2..] { let t = std::time::Instant::now(); let o = vm.run(c)?; println!("{:?} {}\n{}", t.elapsed(), o.status, o.printed()); }
    Ok(())
}
