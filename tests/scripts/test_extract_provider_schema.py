"""The script that reads a provider's schema back from its bindings, on bindings in miniature."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "extract_provider_schema.py"
RESOURCE = """
function thingRuleToHclTerraform(struct) {
    const attrs = {
        prefix: {
            value: cdktn.stringToHclTerraform(struct.prefix),
            isBlock: false,
            type: "simple",
            storageClassType: "string",
        },
    };
}
class ThingRuleOutputReference extends cdktn.ComplexObject {
    // prefix - computed: false, optional: false, required: true
    get prefix() {
        return this.getStringAttribute('prefix');
    }
}
class ThingRuleList extends cdktn.ComplexList {
}
class Thing extends cdktn.TerraformResource {
    constructor(scope, id, config) {
        super(scope, id, {
            terraformGeneratorMetadata: {
                providerName: 'aws',
                providerVersion: '9.9.9',
            },
        });
    }
    // arn - computed: true, optional: false, required: false
    get arn() {
        return this.getStringAttribute('arn');
    }
    // names - computed: false, optional: true, required: false
    _names;
    get names() {
        return cdktn.Fn.tolist(this.getListAttribute('names'));
    }
    // secret_wo - computed: false, optional: true, required: false
    _secretWo;
    get secretWo() {
        return this.getStringAttribute('secret_wo');
    }
    // rule - computed: false, optional: false, required: true
    _rule = new ThingRuleList(this, "rule", true);
    synthesizeHclAttributes() {
        const attrs = {
            secret_wo: {
                value: this.markWriteOnlyAttribute(cdktn.stringToHclTerraform(this._secretWo)),
                isBlock: false,
                type: "simple",
                storageClassType: "string",
            },
            rule: {
                value: cdktn.listMapperHcl(thingRuleToHclTerraform, true)(this._rule.internalValue),
                isBlock: true,
                type: "set",
                storageClassType: "ThingRuleList",
            },
        };
    }
}
"""
PROVIDER = """
class AwsProvider extends cdktn.TerraformProvider {
    synthesizeHclAttributes() {
        const attrs = {
            region: {
                value: cdktn.stringToHclTerraform(this._region),
                isBlock: false,
                type: "simple",
                storageClassType: "string",
            },
        };
    }
}
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        for name, text in (("thing", RESOURCE), ("provider", PROVIDER)):
            member = tarfile.TarInfo(f"package/lib/{name}/index.js")
            member.size = len(text)
            files.addfile(member, io.BytesIO(text.encode()))
    with zipfile.ZipFile(tmp_path / "bindings.whl", "w") as archive:
        archive.writestr("bindings/_jsii/bindings.jsii.tgz", packed.getvalue())
    return tmp_path / "bindings.whl"


def extract(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_schema_is_read_back(wheel: Path, tmp_path: Path) -> None:
    output = tmp_path / "aws.json"
    done = extract(str(wheel), str(output), "--types", "aws_thing")
    assert done.returncode == 0, done.stderr
    document = json.loads(output.read_text())
    assert (document["source"], document["version"]) == ("registry.terraform.io/hashicorp/aws", "9.9.9")
    assert document["provider"]["attributes"] == {"region": {"type": "string", "optional": True}}
    block = document["resources"]["aws_thing"]["block"]
    assert block["attributes"] == {
        "arn": {"type": "string", "computed": True},
        "names": {"type": ["set", "string"], "optional": True},
        "secret_wo": {"type": "string", "optional": True, "write_only": True},
    }
    rule = {"attributes": {"prefix": {"type": "string", "required": True}}, "block_types": {}}
    assert block["block_types"] == {"rule": {"nesting_mode": "set", "min_items": 1, "block": rule}}
    again = extract(str(wheel), str(output))
    assert again.returncode == 0
    assert json.loads(output.read_text()) == document


def test_without_types_and_output_there_is_nothing_to_extract(wheel: Path, tmp_path: Path) -> None:
    done = extract(str(wheel), str(tmp_path / "aws.json"))
    assert done.returncode == 1
    assert "say with --types" in done.stderr
