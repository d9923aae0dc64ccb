"""The CUDA C renderer: the same loop IR in, CUDA C text for NVRTC out.

`render.cuda_source` takes a kernel, `ops` says how each elementwise op is written.
"""
