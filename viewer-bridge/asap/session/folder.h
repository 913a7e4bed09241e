// Where a run leaves its files: a folder that the user chose, or a temporary one that goes with this object.
#pragma once

#include <QDir>
#include <QTemporaryDir>

#include <memory>
#include <stdexcept>

namespace histoloom {

class Folder {
public:
    // "": a temporary one. Throws std::runtime_error where none can be made.
    explicit Folder(const QString &chosen) : path_(chosen) {
        if (!chosen.isEmpty()) return;
        temporary_ = std::make_unique<QTemporaryDir>();
        if (!temporary_->isValid()) throw std::runtime_error(("No folder can be made in " + QDir::tempPath() + "; is the disk full?").toStdString());
        path_ = temporary_->path();
    }
    const QString &path() const { return path_; }
    QString file(const char *name) const { return QDir(path_).filePath(name); }
    bool chosen() const { return temporary_ == nullptr; }

private:
    std::unique_ptr<QTemporaryDir> temporary_;
    QString path_;
};

}  // namespace histoloom
