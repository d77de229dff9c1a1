//! Hurts the whole path and says what came of it: behind `cargo xtask chaos`.

#![expect(clippy::print_stdout, reason = "this command talks to the person who started it")]

use std::{path::PathBuf, process::ExitCode, time::Duration};

use chaos::{Options, run, schedule::Deck};

/// `cargo xtask chaos --help` prints it without building this.
const HELP: &str = include_str!("help.txt");

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match read(&words) {
        Ok(options) => options,
        Err(fault) => {
            println!("error: {fault}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if words.iter().any(|word| word == "--list") {
        for step in Deck::new(options.seed, options.with_disks).round(options.faults_per_round) {
            println!(
                "{:>7.1} s, for {:.1} s: {}",
                step.at.as_secs_f64(),
                step.lasting.as_secs_f64(),
                step.fault
            );
        }
        return ExitCode::SUCCESS;
    }
    if !options.program.is_file() {
        let program = options.program.display();
        println!("error: `{program}` is not there: run `cargo xtask chaos`, which builds it\n\n{HELP}");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Runtime::new().expect("the operating system gives threads");
    let out = options.out.clone();
    let interruptible = async {
        tokio::select! {
            report = run(options) => report,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; processes and disks are gone")),
        }
    };
    let outcome = runtime.block_on(interruptible);
    // Waits until whoever is in the middle of a fault has let go.
    drop(runtime);
    match outcome {
        Ok(report) => {
            print!("{report}");
            println!("report: {}", out.join("report.json").display());
            if report.clean {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn read(words: &[String]) -> Result<Options, String> {
    let beside = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut options = Options {
        program: beside.with_file_name("meridian"),
        seed: 1,
        at_least: Duration::from_secs(30 * 60),
        faults_min: 200,
        faults_per_round: 25,
        rate: 300,
        insert_kills: 100,
        with_disks: false,
        out: PathBuf::from("chaos-report"),
        repeat: String::new(),
        progress: |line| println!("{line}"),
    };
    let mut repeat = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if word == "--list" {
            continue;
        }
        if word == "--disks" {
            options.with_disks = true;
            repeat.push(word.as_str());
            continue;
        }
        let value = rest
            .next()
            .ok_or_else(|| format!("`{word}` is not known, or needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("`{value}` is no number, and `{word}` needs one"))
        };
        let small = || number().and_then(|number| u32::try_from(number).map_err(|_| format!("{number} is too much")));
        match word.as_str() {
            "--minutes" => options.at_least = Duration::from_secs(60 * number()?),
            "--faults" => options.faults_min = number()?,
            "--seed" => options.seed = number()?,
            "--per-round" => options.faults_per_round = small()? as usize,
            "--rate" => options.rate = small()?,
            "--insert-kills" => options.insert_kills = small()?,
            "--out" => options.out = value.into(),
            "--program" => {
                // The processes run in a folder of their own.
                options.program = std::path::absolute(value).map_err(|error| error.to_string())?;
                continue;
            }
            _ => return Err(format!("`{word}` is not known")),
        }
        repeat.extend([word.as_str(), value.as_str()]);
    }
    options.repeat = format!("cargo xtask chaos {}", repeat.join(" "));
    Ok(options)
}
