"""The header that follows on another, and the one with other fields, made once.

Responsible for: what ``create_header_from_parent`` and ``configure_header`` of py-evm's forks since
the merge make. The first makes a header of that of the fork before, down to London's: six objects,
every field of which is checked, for the one that is kept. A block of a single transaction spent a
fifth of its time there.
Sources: EIP-1559 (base fee), EIP-3675 (no proof of work), EIP-4844 (blob gas).
Talks to: py-evm, whose functions say what gas limit, base fee, blob gas and timestamp are.
Never: makes one by a rule of somebody's own, or of parameters that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NamedTuple

from eth._utils.headers import (
    compute_gas_limit,
    fill_header_params_from_parent,
    new_timestamp_from_parent,
)
from eth.abc import BlockHeaderAPI
from eth.chains.tester import MaintainGasLimitMixin
from eth.constants import (
    BLANK_ROOT_HASH,
    GENESIS_GAS_LIMIT,
    POST_MERGE_DIFFICULTY,
    POST_MERGE_MIX_HASH,
    POST_MERGE_NONCE,
)
from eth.validation import validate_header_params_for_configuration
from eth.vm.forks.cancun import CancunVM
from eth.vm.forks.cancun.headers import calc_excess_blob_gas_cancun
from eth.vm.forks.london.constants import ELASTICITY_MULTIPLIER
from eth.vm.forks.london.headers import calculate_expected_base_fee_per_gas
from eth.vm.forks.paris import ParisVM
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.headers import calc_excess_blob_gas_prague
from eth.vm.forks.shanghai import ShanghaiVM

from parallel_evm.fallback import is_stock_but_for_us
from parallel_evm.rlp_objects import changed, header_class

_PARAMETERS: Final = frozenset({"coinbase", "gas_limit", "timestamp"})


class Succession(NamedTuple):
    """How a fork's headers follow on others."""

    header_class: Any
    excess_blob_gas: Callable[[BlockHeaderAPI], int] | None
    """None: the fork has no blobs."""
    keeps_gas_limit: bool = False
    """Do blocks have the gas limit of their parents, as eth-tester's have?"""

    def after(self, parent: BlockHeaderAPI, given: Mapping[str, Any]) -> BlockHeaderAPI | None:
        """The header of an empty block after ``parent``, with some fields ``given``; None where
        that is for py-evm to say."""
        if parent is None or not given.keys() <= _PARAMETERS:
            return None
        limits = {"gas_limit": parent.gas_limit} if self.keeps_gas_limit else {}
        chosen = {**given, **limits}
        if "gas_limit" not in chosen:
            chosen["gas_limit"] = _gas_limit_after(parent)
        if "timestamp" not in chosen:
            chosen["timestamp"] = new_timestamp_from_parent(parent)
        fields: dict[str, Any] = fill_header_params_from_parent(
            parent,
            difficulty=POST_MERGE_DIFFICULTY,
            mix_hash=POST_MERGE_MIX_HASH,
            nonce=POST_MERGE_NONCE,
            **chosen,
        )
        fields["base_fee_per_gas"] = calculate_expected_base_fee_per_gas(parent)
        if self.excess_blob_gas is not None:
            fields["excess_blob_gas"] = self.excess_blob_gas(parent)
            fields["parent_beacon_block_root"] = BLANK_ROOT_HASH
        made: BlockHeaderAPI = self.header_class(**fields)
        return made


def _gas_limit_after(parent: Any) -> int:
    """London's: what was the limit is the target from then on."""
    if not hasattr(parent, "base_fee_per_gas"):
        return int(parent.gas_limit * ELASTICITY_MULTIPLIER)
    return compute_gas_limit(parent, genesis_gas_limit=GENESIS_GAS_LIMIT)


_BLOBS: Final[Mapping[Any, Callable[[BlockHeaderAPI], int] | None]] = {
    ParisVM: None,
    ShanghaiVM: None,
    CancunVM: calc_excess_blob_gas_cancun,
    PragueVM: calc_excess_blob_gas_prague,
}
"""By the VM that has a rule of its own for headers, as every fork since the merge has."""


def succession_of(vm_class: Any) -> Succession | None:
    """How headers of this VM follow on others; None where that is a rule of somebody's own, or one
    from before the merge."""
    owners = [
        base
        for base in vm_class.__mro__
        if "create_header_from_parent" in vars(base) and "is_ours" not in vars(base)
    ]
    keeps_gas_limit = owners[0] is MaintainGasLimitMixin
    owner = owners[keeps_gas_limit]
    if owner not in _BLOBS:
        return None
    return Succession(header_class(owner), _BLOBS[owner], keeps_gas_limit)


def configures_plainly(vm_class: Any) -> bool:
    """Does this VM set a header's fields, and no more, when it is told to configure it? Before the
    merge it would compute a difficulty, too."""
    return issubclass(vm_class, ParisVM) and is_stock_but_for_us(vm_class, "configure_header")


class LeanHeaders:
    """Mixed into a VM class."""

    is_ours: ClassVar[bool] = True
    """Found in classes of this package (`fallback`)."""
    succession: ClassVar[Succession | None] = None
    has_plain_headers: ClassVar[bool] = False
    """As `configures_plainly` says."""

    @classmethod
    def create_header_from_parent(
        cls, parent_header: BlockHeaderAPI, **header_params: Any
    ) -> BlockHeaderAPI:
        succession = cls.succession
        made = None if succession is None else succession.after(parent_header, header_params)
        if made is None:
            vm: Any = super()
            made = vm.create_header_from_parent(parent_header, **header_params)
        return made

    def configure_header(self, **header_params: Any) -> BlockHeaderAPI:
        vm: Any = super()
        if not self.has_plain_headers:
            configured: BlockHeaderAPI = vm.configure_header(**header_params)
            return configured
        this: Any = self
        validate_header_params_for_configuration(header_params)
        made: BlockHeaderAPI = changed(this.get_header(), **header_params)
        return made
