/*
 * SPDX-License-Identifier: Apache-2.0
 * Original Table Header:
 *     Signature        "SSDT"
 *     Length           0x00000123 (291)
 */
DefinitionBlock ("", "SSDT", 2, "SAMPLE", "SAMPLET ", 0x00000007)
{
    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501") /* 16550A */)  // _HID: Hardware ID
            Name (_CID, "ACPI0001")
            OperationRegion (PORT, SystemIO, 0x03F8, 0x08)
        }
        OperationRegion (\MEMO, SystemMemory, Local0, One)
        Method (_STA, 0, NotSerialized) { Return ("{") }
    }
}
