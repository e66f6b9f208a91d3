"""Workers: one script a library, run in that library's environment.

Its only argument is a `Configuration` as JSON. It reads a JSON command a line and writes a JSON reply a line:

- `{"do": "describe"}`: versions, variables and threads;
- `{"do": "compile", "steps": n}`: seconds from the function to a program of n environment steps, or null;
- `{"do": "run", "steps": n, "seed": s}`: seconds of training n steps, compiled before;
- `{"do": "train_policy", "steps": n, "seeds": [...]}`: for each seed the actor's layers after n steps, and the seconds
  of all together, compilation included.

Modules of this package import nothing but the standard library, NumPy and the library that they measure.
"""
