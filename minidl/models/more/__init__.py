"""Networks beyond the first three systems; found in ``minidl.models`` too."""
