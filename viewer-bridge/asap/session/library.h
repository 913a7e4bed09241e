// Opens libhistoloom at run time. In: a file, or "" to look where it may lie. Out: the functions of histoloom.h, which library.cpp defines as
// calls into that file; they must not be called before load() has returned.
#pragma once

#include <QString>

namespace histoloom {

// The file in use; "" while none is.
QString library_file();

// Opens `file`, or else what HISTOLOOM_LIBRARY names, or else the library beside the program, in ../lib or where the system looks. The first
// one that opens stays for the life of the process. Throws std::runtime_error that says where was looked.
void load(const QString &file = {});

}  // namespace histoloom
