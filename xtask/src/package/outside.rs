//! Checks of our files by other tools: the Dockerfile by hadolint, the Compose files and the bill of materials by their schemas.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use xtask::python;
use xtask::tools::Install;
use xtask::workspace::{root, run};

/// Validates a bill of materials against the strict form of CycloneDX's schema.
const STRICTLY: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1]).read()))
";

/// Checks the files in the tree, and a bill of materials.
pub(super) fn check(bill: &Path) -> Result<()> {
    let bin =
        python::programs("package", &root().join("xtask/src/package/requirements.txt"), Install::Allowed)?;
    let deploy = root().join("deploy");
    run(Command::new(bin.join("hadolint")).arg(deploy.join("Dockerfile")))?;
    let compose = ["compose.yml", "compose-cluster.yml"].map(|file| deploy.join(file));
    run(Command::new(bin.join("check-jsonschema"))
        .args(["--builtin-schema", "vendor.compose-spec"])
        .args(compose))?;
    run(Command::new(bin.join("python")).args(["-c", STRICTLY]).arg(bill))
}
