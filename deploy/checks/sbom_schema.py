"""Holds a bill of materials against CycloneDX's own schema, and its licences against the list of SPDX. Run by a Python that has them.

    python deploy/checks/sbom_schema.py sbom.cdx.json
"""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

text = Path(sys.argv[1]).read_text()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if error:
    sys.exit(f"{sys.argv[1]}: {error}")
licensing = get_spdx_licensing()
bill = json.loads(text)
for component in [bill["metadata"]["component"], *bill["components"]]:
    for licence in component["licenses"]:
        problems = licensing.validate(licence["expression"]).errors
        if problems:
            sys.exit(f"{component['name']}: {problems}")
